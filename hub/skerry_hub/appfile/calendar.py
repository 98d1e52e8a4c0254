"""Whether a text is a calendar event as systemd.time(7) describes them, without asking systemd.

Owns the grammar that an app file may use: what passes here, systemd takes (the tests hold the two together). systemd
knows a few more spellings ("Mon-Fri", "@1395716396", two-digit years); there is one way to write it here. Whether an
event ever comes (February 30) is systemd's to say.
"""

from __future__ import annotations

import re

EXPECTED = (
    'a calendar expression (systemd.time(7)) such as "daily", "Mon..Fri 08:30", "*-*-01 00:00:00" or "*:0/15"'
)
LENGTH_MAX = 200
SHORTHANDS = (
    "minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "annually", "yearly",
)  # fmt: skip
DAYS = (
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
    "mon", "tue", "wed", "thu", "fri", "sat", "sun",
)  # fmt: skip

_ZONE = re.compile(r"UTC|[A-Z][A-Za-z_]{1,20}(?:/[A-Z][A-Za-z_+-]{1,30}){1,2}")
_TIME = re.compile(r"([^:]+):([^:]+)(?::([^:]+))?")
_DATE = re.compile(r"(?:([^-~]+)-)?([^-~]+)([-~])([^-~]+)")
_NUMBER = re.compile(r"[0-9]{1,4}")
_SPAN = re.compile(r"([0-9]{1,4})(?:\.\.([0-9]{1,4}))?(?:/([0-9]{1,4}))?")
_SECOND = re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,6})?")


def is_calendar(text: str) -> bool:
    """Whether `text` is a calendar event of the common grammar."""
    if len(text) > LENGTH_MAX or not text.isascii():
        return False
    words = text.split(" ")
    if len(words) > 1 and _ZONE.fullmatch(words[-1]) and words[-1].lower() not in DAYS:
        words.pop()
    if len(words) == 1 and words[0].lower() in SHORTHANDS:
        return True
    return _parts(words)


def _parts(words: list[str]) -> bool:
    """[weekdays] [date] [time], in this order, at least one."""
    checks = [_weekdays, _date, _time]
    for word in words:
        while checks and not checks[0](word):
            checks.pop(0)
        if not checks:
            return False
        checks.pop(0)
    return True


def _weekdays(word: str) -> bool:
    for part in word.lower().split(","):
        ends = part.split("..")
        if len(ends) > 2 or any(end not in DAYS for end in ends):
            return False
        numbers = [DAYS.index(end) % 7 for end in ends]
        if numbers != sorted(numbers):  # a week begins on Monday: Sat..Mon is Sat,Sun,Mon
            return False
    return True


def _date(word: str) -> bool:
    match = _DATE.fullmatch(word)
    if match is None:
        return False
    year, month, mark, day = match.groups()
    days = _component(day, 1, 31) if mark == "-" else _component(day, 1, 28, backwards=True)
    return (year is None or _component(year, 1970, 2199)) and _component(month, 1, 12) and days


def _time(word: str) -> bool:
    match = _TIME.fullmatch(word)
    if match is None:
        return False
    hour, minute, second = match.groups()
    seconds = second is None or _component(second, 0, 59, number=_SECOND)
    return _component(hour, 0, 23) and _component(minute, 0, 59) and seconds


def _component(
    text: str, low: int, high: int, *, number: re.Pattern[str] = _NUMBER, backwards: bool = False
) -> bool:
    """`*`, or a list of numbers, ranges `a..b` and repetitions `a/step`. `backwards`: counted from a month's end."""
    return text == "*" or all(_item(part, low, high, number, backwards) for part in text.split(","))


def _item(text: str, low: int, high: int, number: re.Pattern[str], backwards: bool) -> bool:
    if number.fullmatch(text):
        return low <= float(text) < high + 1
    match = _SPAN.fullmatch(text)
    if match is None:
        return False
    start, end, step = int(match[1]), match[2], match[3]
    stop = int(end) if end else low if backwards else high
    if not (low <= start <= high and low <= stop <= high) or (end and stop < start):
        return False
    room = start - stop if backwards and not end else stop - start
    return step is None or 0 < int(step) <= room
