"""The act of the bad plan: an operator's mistake takes the way to the hub from every node, and undoes itself."""

from __future__ import annotations

from .acts import MOVE_S, SOON_S, goes_on
from .stage import Stage

NOWHERE = "10.77.0.99"
TRIAL_S = 60.0
BACK = "was taken back"


def bad_plan(stage: Stage) -> None:
    """The hub tells all nodes that it is where nobody is."""
    stage.act(f"A bad plan: the hub is started with '--advertise {NOWHERE}', where nobody is")
    before, line = _steady(stage), stage.only("asker").pid
    _restart(stage, "--advertise", NOWHERE)
    if not stage.until("every node tries it", lambda: _all_say(stage, "on trial"), SOON_S):
        return
    began = stage.now()
    stage.say(_line(stage, "network"))
    goes_on(stage, "asker and teller do not notice", line)
    if stage.until("every node takes it back", lambda: _all_say(stage, BACK), TRIAL_S + SOON_S):
        stage.say(f"every node has gone back by itself, {stage.now() - began:.1f} s after it began to try")
        stage.say(_line(stage, "condition"))
    stage.until(
        "every node has its hub again, and has told it", lambda: _told(stage) == len(stage.nodes), SOON_S
    )
    stage.show("nodes")
    stage.check(
        _told(stage) == len(stage.nodes), "the hub, reached by the old plan, knows who refused the new one"
    )
    stage.check(
        before.items() <= _steady(stage).items(), "whatever needs no lease ran on, with the same processes"
    )
    _restart(stage)
    stage.until("put right: nobody has anything against it", lambda: not _told(stage), SOON_S)
    stage.until("every app is healthy", stage.healthy, MOVE_S)
    stage.check(
        not _told(stage) and not _any_says(stage, BACK), "the mistake is mended, and no node needed a hand"
    )
    stage.check(len(stage.copies("ledger")) == 1, "one ledger runs, under a lease")


def _restart(stage: Stage, *options: str) -> None:
    stage.lab.hub_stop()
    stage.lab.hub_start(options)


def _steady(stage: Stage) -> dict[tuple[str, str], int]:
    """What no hub is needed for: a lease ends without one, as it has to."""
    return {key: pid for key, pid in stage.all_copies().items() if "ledger" not in key[1]}


def _status(stage: Stage, node: str) -> str:
    return stage.lab.run(node, ["skerry-agent", "status"], check=False).stdout


def _all_say(stage: Stage, words: str) -> bool:
    return all(words in _status(stage, node) for node in stage.nodes)


def _any_says(stage: Stage, words: str) -> bool:
    return any(words in _status(stage, node) for node in stage.nodes)


def _line(stage: Stage, head: str) -> str:
    """What one of the nodes says under this head."""
    node = stage.nodes[0]
    said = (" ".join(one.split()) for one in _status(stage, node).splitlines() if one.startswith(head))
    return f"{node}: {next(said, 'it says nothing')}"


def _told(stage: Stage) -> int:
    """How many nodes have told the hub that their network is not as planned."""
    views = stage.hub_nodes().values()
    return sum(any(one.startswith("network:") for one in view.conditions) for view in views)
