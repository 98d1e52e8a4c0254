"""Which files name the hub, and what is kept beside them. Imports nothing but `os`: see `early`.

Looked for in this order: the file that SKERRY_CONFIG names, the user's own, that of the lab named `lab`.
"""

from __future__ import annotations

import os

OWN = "~/.config/skerry/operator.toml"
FILE = "operator.toml"
# Of the lab that has no other name; what makes labs (`lab.layout`) would take long to import.
LAB = f"/var/lib/skerry-lab/lab/hub/{FILE}"
LAB_SOCKET = "/run/skerry-lab/lab/api.sock"


def candidates() -> tuple[str, ...]:
    """The files that may hold the settings, the one that counts most first."""
    named = os.environ.get("SKERRY_CONFIG")
    return (os.path.expanduser(named),) if named else (os.path.expanduser(OWN), LAB)  # noqa: PTH111


class Known:
    """The certificate of a hub that the mesh's root vouched for, kept beside the settings that name the hub.

    A delegation has no date, and whoever has the TLS key can show it for ever: to see the certificate again, whose key
    the handshake proved, says as much as to see the delegation again. It counts only for the address and the pin that
    it was kept for, and where nobody but the user can write it.
    """

    def __init__(self, settings: str) -> None:
        """`settings`: the file that names the hub."""
        self._path = f"{settings}.known"

    def holds(self, address: str, pin: str, certificate: bytes) -> bool:
        """Whether this certificate was vouched for."""
        return bool(certificate) and self._read() == _entry(address, pin, certificate)

    def _read(self) -> bytes:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return b""
        with open(fd, "rb") as file:  # noqa: PTH123
            now = os.fstat(fd)
            own = now.st_uid == os.geteuid() and not now.st_mode & 0o022
            return file.read(ENTRY_MAX) if own else b""

    def keep(self, address: str, pin: str, certificate: bytes) -> None:
        """It was vouched for just now. Where it cannot be kept, the next command asks again."""
        made = f"{self._path}.{os.getpid()}"
        try:
            fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:  # noqa: PTH123
                file.write(_entry(address, pin, certificate))
            os.replace(made, self._path)  # noqa: PTH105
        except OSError:
            return


ENTRY_MAX = 65_536


def _entry(address: str, pin: str, certificate: bytes) -> bytes:
    return f"{address} {pin}\n".encode() + certificate
