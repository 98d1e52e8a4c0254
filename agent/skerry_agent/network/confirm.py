"""Commit-confirm: a plan that costs a node its hub is taken back, without anybody's help.

A new plan is on trial until the hub answers a beat that was sent under it. A node that reached its hub before the
change and does not within TRIAL_MS afterwards takes up the confirmed plan again; so does one that booted meanwhile.
What was taken back is tried again some minutes later, once the hub is reached, and held after TRIES failures until
there is another plan. Pure: moments are CLOCK_BOOTTIME in milliseconds, plans are known by their digests.
"""

from __future__ import annotations

from msgspec import Struct, structs

TRIAL_MS = 60_000
TRIES = 2
AGAIN_MS = 5 * 60_000


class Trial(Struct, frozen=True, omit_defaults=True):
    """A plan in use that is not confirmed: until when (CLOCK_BOOTTIME, of this boot) it may be."""

    digest: str
    boot: str
    until_ms: int


class Failed(Struct, frozen=True, omit_defaults=True):
    """A plan that was taken back: how often, why last, and from when (of this boot) it may be tried again."""

    digest: str
    times: int
    reason: str
    boot: str = ""
    again_ms: int = 0

    @property
    def held(self) -> bool:
        """Whether it is tried no more."""
        return self.times >= TRIES


class Standing(Struct, frozen=True, omit_defaults=True):
    """What the node keeps on disk of this. `confirmed`: the plan to go back to; None: there is none yet."""

    confirmed: str | None = None
    trial: Trial | None = None
    failed: Failed | None = None

    @property
    def in_use(self) -> str | None:
        """The plan that the kernel is to have."""
        return self.trial.digest if self.trial else self.confirmed


def offered(standing: Standing, digest: str, reached: bool, boot: str, now_ms: int) -> Standing:
    """The newest plan that the node accepted. `reached`: its hub answers under what is in use.

    Without a hub nothing can be lost, and nothing learned by a trial: the plan is simply taken. But a trial that runs
    may be what cost the hub: then the newer plan has what is left of its time.
    """
    if digest == standing.in_use:
        return standing
    if reached:
        standing = confirmed(standing)
    failed = standing.failed
    if failed is not None and failed.digest != digest:
        failed = None
    if standing.trial is not None:
        return structs.replace(standing, trial=structs.replace(standing.trial, digest=digest), failed=failed)
    if standing.confirmed is None or not reached:
        return Standing(digest) if failed is None else structs.replace(standing, failed=failed)
    if failed is not None and (failed.held or (failed.boot == boot and now_ms < failed.again_ms)):
        return standing
    return Standing(standing.confirmed, Trial(digest, boot, now_ms + TRIAL_MS), failed)


def confirmed(standing: Standing) -> Standing:
    """The hub has answered a beat that was sent under what is in use."""
    if standing.trial is None:
        return standing
    return Standing(standing.trial.digest)


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
        reason = f"the hub did not answer within {TRIAL_MS // 1000} s of it"
        return _taken_back(standing, trial, reason, boot, now_ms)
    return standing


def due_ms(standing: Standing) -> int | None:
    """When to look again; None: never by itself."""
    return standing.trial.until_ms if standing.trial else None


def _taken_back(standing: Standing, trial: Trial, reason: str, boot: str, now_ms: int) -> Standing:
    before = standing.failed.times if standing.failed and standing.failed.digest == trial.digest else 0
    failed = Failed(trial.digest, before + 1, reason, boot, now_ms + AGAIN_MS)
    return Standing(standing.confirmed, None, failed)
