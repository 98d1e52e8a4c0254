"""What an exit status means where systemd set it, because it could not even begin (systemd.exec(5), exit codes)."""

from __future__ import annotations

MEANINGS = {
    200: "its workdir cannot be entered",
    203: "its program cannot be run: is it there, and executable?",
    209: "its output cannot be written",
    216: "its group does not exist",
    217: "its user does not exist",
    218: "a capability that it asks for cannot be given",
    226: "its sandbox cannot be set up: does a path that it asks for exist?",
    228: "a system call filter cannot be set",
    233: "its runtime folder cannot be made",
    238: "its folder for volumes cannot be made",
}


def text(status: int) -> str:
    """The status, with its meaning where it is likely to be systemd's."""
    meaning = MEANINGS.get(status)
    return f"exit status {status}" + (f" ({meaning})" if meaning else "")
