"""What a benchmark says: one row per number, with what it stands beside, its goal and the verdict. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct


class Basis(StrEnum):
    """Where a number comes from."""

    MEASURED = "measured"
    COMPUTED = "computed"  # from measured parts: the note says which
    PUBLISHED = "published"  # somebody else's, on another machine


class Verdict(StrEnum):
    MET = "met"
    NOT_MET = "NOT MET"
    NONE = "-"


class Of(StrEnum):
    """What a goal limits."""

    OURS = "ours"
    RATIO = "ratio"


class Goal(Struct, frozen=True):
    """A limit on our number or on its ratio to the reference. `least`: it is to be reached, not kept under."""

    limit: float
    of: Of = Of.OURS
    least: bool = False

    def verdict(self, value: float | None) -> Verdict:
        """NONE where there is nothing to judge."""
        if value is None or math.isnan(value):
            return Verdict.NONE
        kept = value >= self.limit if self.least else value <= self.limit
        return Verdict.MET if kept else Verdict.NOT_MET

    def words(self, unit: str) -> str:
        sign = ">=" if self.least else "<="
        return f"{sign} {number(self.limit)} {'times' if self.of is Of.RATIO else unit}".rstrip()


class Row(Struct, frozen=True):
    """One number. `beside` says what `reference` is, in the same unit. `basis` is that of ours."""

    what: str
    ours: float
    unit: str
    reference: float | None = None
    beside: str = ""
    goal: Goal | None = None
    note: str = ""
    basis: Basis = Basis.MEASURED
    reference_basis: Basis = Basis.MEASURED

    @property
    def ratio(self) -> float | None:
        return self.ours / self.reference if self.reference else None

    @property
    def verdict(self) -> Verdict:
        if self.goal is None:
            return Verdict.NONE
        return self.goal.verdict(self.ours if self.goal.of is Of.OURS else self.ratio)


def median(values: Sequence[float]) -> float:
    """The middle, or the mean of the two in the middle. Raises ValueError where there is none."""
    if not values:
        raise ValueError("there is nothing to take the median of")
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def percentile(values: Sequence[float], percent: float) -> float:
    """By nearest rank: always a value that was seen. Of few values, p99 is the largest."""
    if not values:
        raise ValueError("there is nothing to take a percentile of")
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


def number(value: float) -> str:
    """With as many digits as mean something: three."""
    if math.isnan(value):
        return "?"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 2 - math.floor(math.log10(abs(value)))
    text = f"{value:.{max(digits, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
