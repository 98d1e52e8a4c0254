"""What a doctor found: one check after the other, in the order in which what is bad should be mended.

The node's own travel to its hub as JSON; both command lines show them in the same words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct, structs


class Verdict(StrEnum):
    OK = "ok"
    BAD = "bad"
    UNKNOWN = "unknown"


MARKS = {Verdict.OK: "ok ", Verdict.BAD: "BAD", Verdict.UNKNOWN: "?  "}


class Finding(Struct, frozen=True, omit_defaults=True):
    """One check. `then`: what to do where it is bad. `after`: an earlier one that may be all the reason for it."""

    check: str
    verdict: Verdict
    seen: str
    then: str = ""
    after: str = ""

    @property
    def ok(self) -> bool:
        return self.verdict is Verdict.OK


def ok(check: str, seen: str) -> Finding:
    """All is well with it."""
    return Finding(check, Verdict.OK, seen)


def bad(check: str, seen: str, then: str) -> Finding:
    """It is out of order."""
    return Finding(check, Verdict.BAD, seen, then)


def unknown(check: str, seen: str) -> Finding:
    """It could not be looked at."""
    return Finding(check, Verdict.UNKNOWN, seen)


def led_back(found: Sequence[Finding], leads_to: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Each that is bad names what else is, and may be the reason. `leads_to`: check → checks, the likeliest first."""
    ill = {one.check for one in found if one.verdict is Verdict.BAD}
    for one in found:
        because = next((each for each in leads_to.get(one.check, ()) if each in ill), "")
        yield structs.replace(one, after=because) if one.check in ill else one


def lines(found: Sequence[Finding]) -> Iterator[str]:
    """For people: a line each, then what to do."""
    width = max((len(one.check) for one in found), default=0)
    for one in found:
        yield _line(f"{MARKS[one.verdict]}  {one.check.ljust(width)}  {one.seen}")
    ill = [one for one in found if one.verdict is Verdict.BAD]
    if ill:
        yield ""
        yield "what to do, in this order:"
    for number, one in enumerate(ill, 1):
        after = f" (perhaps all well once '{one.after}' is)" if one.after else ""
        yield _line(f"  {number}. {one.check}: {one.then}{after}")


def _line(text: str) -> str:
    """In one: what a node says of itself must not look like what somebody else does."""
    return " | ".join(text.splitlines())
