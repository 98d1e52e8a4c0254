"""Which hub the operator's command line talks to, and who asks: one small TOML file.

    hub = "https://hub.example:8443"     # or several, tried in order
    pin = "<SHA-256 of the mesh root's public key, hex>"
    token = "<the operator's secret>"
    socket = "/run/…/api.sock"           # optional: reach the hub through this Unix socket (the lab does)

Which file that is, `places` says.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from . import places
from .errors import CliError

PIN = re.compile(r"[0-9a-f]{64}")
REQUIRED = ("hub", "pin", "token")


@dataclass(frozen=True)
class Settings:
    """Where the hub is, how it proves itself, and who asks. `source` is the file that says so."""

    hubs: tuple[str, ...]
    pin: str
    token: str
    socket: str | None = None
    source: str = ""


def load(paths: tuple[Path, ...] | None = None) -> Settings:
    """The settings in the first of `paths` (by default `places.candidates`) that is there. Raises CliError."""
    lab = Path(places.LAB)  # its hub is reached by the lab's own socket alone
    paths = tuple(map(Path, places.candidates())) if paths is None else paths
    for path in paths:
        try:
            found = parse(path.read_text(encoding="utf-8"), str(path))
            return replace(found, socket=found.socket or places.LAB_SOCKET) if path == lab else found
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            if path == lab:
                continue  # somebody else's lab
            raise CliError(f"cannot read {path}: {error.strerror}") from error
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise CliError(f"cannot read {path}: {reason}") from error
    raise CliError(
        f"cannot reach a hub: there is no {paths[0]}",
        "copy operator.toml from the hub's data folder, or name one in SKERRY_CONFIG; to try: skerry lab up",
    )


def parse(text: str, source: str) -> Settings:
    """The settings in `text`, which is from the file `source`. Raises CliError for what does not fit."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CliError(f"cannot read {source}: {error}") from error
    missing = [key for key in REQUIRED if not raw.get(key)]
    if missing:
        raise CliError(
            f"cannot use {source}: it has no {' and no '.join(missing)}", "copy the hub's operator.toml anew"
        )
    hubs = raw["hub"] if isinstance(raw["hub"], list) else [raw["hub"]]
    pin, token, socket = raw["pin"], raw["token"], raw.get("socket")
    if not all(isinstance(one, str) and _is_hub(one) for one in hubs):
        raise CliError(
            f'cannot use {source}: hub is to be an address such as "https://hub.example:8443", or a list'
        )
    if not isinstance(pin, str) or PIN.fullmatch(pin.lower()) is None:
        raise CliError(
            f"cannot use {source}: pin is to be 64 hexadecimal digits", "copy the hub's operator.toml anew"
        )
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token:
        raise CliError(f"cannot use {source}: token is to be plain text", "copy the hub's operator.toml anew")
    if socket is not None and not isinstance(socket, str):
        raise CliError(f"cannot use {source}: socket is to be a path")
    return Settings(tuple(hubs), pin.lower(), token, socket or None, source)


def _is_hub(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme == "https" and bool(parts.hostname) and (parts.port or 443) > 0
    except ValueError:
        return False
