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
        first, dots, last = part.partition("..")
        if first not in DAYS or (dots and last not in DAYS):
            return False
    return True


def _date(word: str) -> bool:
    match = _DATE.fullmatch(word)
    if match is None:
        return False
    year, month, _, day = match.groups()
    years = year is None or _component(year, 1970, 2199)
    return years and _component(month, 1, 12) and _component(day, 1, 31)


def _time(word: str) -> bool:
    match = _TIME.fullmatch(word)
    if match is None:
        return False
    hour, minute, second = match.groups()
    seconds = second is None or _component(second, 0, 59, _SECOND)
    return _component(hour, 0, 23) and _component(minute, 0, 59) and seconds


def _component(text: str, low: int, high: int, number: re.Pattern[str] = _NUMBER) -> bool:
    """`*`, numbers, ranges `a..b`, repetitions `a/step`, and lists of them."""
    return all(_item(part, low, high, number) for part in text.split(","))


def _item(text: str, low: int, high: int, number: re.Pattern[str]) -> bool:
    span, slash, step = text.partition("/")
    if slash and (number.fullmatch(step) is None or not 0 < float(step) <= high):
        return False
    if span == "*":
        return True
    ends = span.split("..")
    if len(ends) > 2 or any(number.fullmatch(end) is None for end in ends):
        return False
    values = [float(end) for end in ends]
    return all(low <= value < high + 1 for value in values) and values == sorted(values)
