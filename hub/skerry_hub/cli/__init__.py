"""`skerry`, the console script. Light to import: what a command asks may be on its way before the rest is here.

`early` sends a plain apply, then the verbs (`verbs`) are loaded; what the hub answered is theirs to read and to show.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .early import send


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its code."""
    words = list(sys.argv[1:] if argv is None else argv)
    sent = send(words)
    from .edge import run  # noqa: PLC0415 - loading it takes longer than the hub's work
    from .verbs import cli  # noqa: PLC0415 - the same

    sys.exit(run(cli, words, sent))
