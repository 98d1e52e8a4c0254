"""`skerry-agent`: chooses what to load. What systemd runs loads no command line library; the rest is `commands`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """The entry point."""
    # A bus that hangs is waited for by the library, which lets nothing else go on meanwhile: by default for 25 s.
    os.environ.setdefault("SYSTEMD_BUS_TIMEOUT", "5s")
    if sys.argv[1:] == ["run"]:
        from .start import run  # noqa: PLC0415 - only what this command needs

        code = run()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # no waiting for threads, see `start.run`
    if sys.argv[1:] == ["fence"]:
        from .fence.run import main as fence  # noqa: PLC0415 - only what this command needs

        sys.exit(fence())
    if sys.argv[1:] == ["net"]:
        from .network.run import main as net  # noqa: PLC0415 - only what this command needs

        code = net()
        os._exit(code)  # no waiting for a name server, see `network.seeking`
    if sys.argv[1:] == ["restore"]:
        from .boot import put_back  # noqa: PLC0415 - only what this command needs

        sys.exit(put_back())
    from .commands import cli  # noqa: PLC0415 - only what this command needs

    cli(prog_name="skerry-agent")


if __name__ == "__main__":
    main()
