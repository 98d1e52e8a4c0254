"""What the conditions of a node mean, in words: a beat carries their codes alone, and the node itself says more."""

from __future__ import annotations

from collections.abc import Collection

WORDS = {
    "disk": "the node's disk does not take what is to be written",
    "systemd": "systemd does not answer there",
    "switch": "the last switch failed as a whole",
    "unit-files": "unit files of instances were changed by hand",
    "policy": "its policy file is damaged, nothing new is permitted",
    "damaged": "the stored assignment is damaged",
    "damaged-applied": "the record of what was switched to is damaged",
    "damaged-overrides": "the node's own words are lost",
    "damaged-revisions": "the former revisions that it kept are lost",
    "damaged-delegation": "the highest serial that it had seen is lost",
    "fence": "skerry-fence does not run there, systemd alone ends leases",
    "network": "its network is not as planned, or skerry-net does not run there",
    "socket": "the command line there cannot talk to the agent",
}


# For as long as one of these is there, what is asked of the node may have to wait.
HINDERS = ("disk", "systemd", "switch", "damaged", "damaged-applied")


def hinders(codes: Collection[str]) -> str | None:
    """What of these conditions keeps the node from switching, as a line for people."""
    return next((told(code) for code in HINDERS if code in codes), None)


def told(code: str) -> str:
    """One condition as a line for people; also of one that only a newer node knows."""
    words = WORDS.get(code)
    return f"{code}: {f'{words} ' if words else ''}('skerry-agent status' there says more)"
