"""Commit-confirm: a way to the hub that costs a node its hub is taken back, without anybody's help.

A plan's way (`records.Plan.way`) is all of it that can cost the hub. A new way is on trial until the hub answers, from
where the way leads (`proof`), a beat that was sent under it. A node that reached its hub before the change and does not
within TRIAL_MS afterwards takes up the confirmed way again; so does one that booted meanwhile. What was taken back is
tried again some minutes later, once the hub is reached, and held after TRIES failures until there is another. A plan
that brings nothing but other instances is no trial: a hub that is merely away takes nothing from what runs. Pure:
moments are CLOCK_BOOTTIME in milliseconds, ways are known by their digests.
"""

from __future__ import annotations

from msgspec import Struct, structs

TRIAL_MS = 60_000
TRIES = 2
AGAIN_MS = 5 * 60_000


class Trial(Struct, frozen=True, omit_defaults=True):
    """A way in use that is not confirmed: until when (CLOCK_BOOTTIME, of this boot) it may be."""

    way: str
    boot: str
    until_ms: int


class Failed(Struct, frozen=True, omit_defaults=True):
    """A way that was taken back: how often, why last, and from when (of this boot) it may be tried again."""

    way: str
    times: int
    reason: str
    boot: str = ""
    again_ms: int = 0

    @property
    def held(self) -> bool:
        """Whether it is tried no more."""
        return self.times >= TRIES


class Standing(Struct, frozen=True, omit_defaults=True):
    """What the node keeps on disk of this. `confirmed`: the way to go back to; None: there is none yet."""

    confirmed: str | None = None
    trial: Trial | None = None
    failed: Failed | None = None

    @property
    def in_use(self) -> str | None:
        """The way that the kernel is to have."""
        return self.trial.way if self.trial else self.confirmed


def offered(standing: Standing, way: str, reached: bool, boot: str, now_ms: int) -> Standing:
    """The way of the newest plan that the node accepted. `reached`: its hub answers under what is in use.

    Without a hub nothing can be lost, and nothing learned by a trial: it is simply taken. But a trial that runs
    may be what cost the hub: then the newer way has what is left of its time.
    """
    if way == standing.in_use:
        return standing if standing.trial else structs.replace(standing, failed=None)
    if reached:
        standing = confirmed(standing)
    failed = standing.failed
    if failed is not None and failed.way != way:
        failed = None
    if standing.trial is not None:
        return structs.replace(standing, trial=structs.replace(standing.trial, way=way), failed=failed)
    if standing.confirmed is None or not reached:
        return Standing(way) if failed is None else structs.replace(standing, failed=failed)
    if failed is not None and (failed.held or (failed.boot == boot and now_ms < failed.again_ms)):
        return standing
    return Standing(standing.confirmed, Trial(way, boot, now_ms + TRIAL_MS), failed)


def confirmed(standing: Standing) -> Standing:
    """The hub has answered a beat that was sent under what is in use."""
    if standing.trial is None:
        return standing
    return Standing(standing.trial.way)


def looked_at(standing: Standing, boot: str, now_ms: int) -> Standing:
    """What time alone, or a boot, makes of it."""
    trial = standing.trial
    if trial is None:
        return standing
    if trial.boot != boot:
        return _taken_back(
            standing, trial, "the machine booted before the hub was reached under it", boot, now_ms
        )
    if now_ms >= trial.until_ms:
        reason = f"the hub did not answer by it within {TRIAL_MS // 1000} s"
        return _taken_back(standing, trial, reason, boot, now_ms)
    return standing


def due_ms(standing: Standing) -> int | None:
    """When to look again; None: never by itself."""
    return standing.trial.until_ms if standing.trial else None


def _taken_back(standing: Standing, trial: Trial, reason: str, boot: str, now_ms: int) -> Standing:
    before = standing.failed.times if standing.failed and standing.failed.way == trial.way else 0
    failed = Failed(trial.way, before + 1, reason, boot, now_ms + AGAIN_MS)
    return Standing(standing.confirmed, None, failed)
