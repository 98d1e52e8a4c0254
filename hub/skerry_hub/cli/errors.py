"""What the command line fails with: a line that says what cannot be done and why, what to do next, an exit code."""

from __future__ import annotations

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3  # the hub understood and said no
EXIT_UNREACHABLE = 4
EXIT_PENDING = 5  # accepted, but not all running within the time waited for
EXIT_INTERRUPTED = 130  # Ctrl-C, as shells say it


class CliError(Exception):
    """Ends the command with one readable line, and a second that says what to do."""

    def __init__(self, what: str, then: str = "", code: int = EXIT_FAILED) -> None:
        super().__init__(what)
        self.what = what
        self.then = then
        self.code = code
