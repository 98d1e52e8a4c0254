"""The acts of the demo, in order. Each does to the mesh what happens to scattered machines, and checks what was
promised for it. A figure that is printed was measured in this run.
"""

from __future__ import annotations

from pathlib import Path

from .. import mesh
from .stage import APPS, TALK, Stage

LOST_AFTER_S = 20.0
SOON_S = 30.0
LEDGER_LOST_AFTER_S = 30.0
MOVE_S = LEDGER_LOST_AFTER_S + 25.0


def join(stage: Stage) -> None:
    """Machines become nodes."""
    stage.act("Three machines join with one token")
    stage.timed("all three have joined", lambda: mesh.join(stage.lab, stage.nodes))
    stage.show("nodes")
    stage.check(set(stage.hub_nodes()) == set(stage.nodes), "the hub knows exactly these three nodes")


def apply(stage: Stage) -> None:
    """One file, three apps."""
    stage.act("One file describes three apps")
    stage.timed(
        "applied, and every copy is healthy", lambda: stage.show("apply", str(APPS), "--reason", "demo")
    )
    stage.show("apps")
    stage.check(stage.healthy(), "every app is healthy")
    stage.check(
        len(stage.copies("gauge")) == 3 and len(stage.copies("web")) == 3, "gauge and web run on every node"
    )
    stage.check(len(stage.copies("ledger")) == 1, "exactly one ledger runs")


def backup(stage: Stage, file: Path) -> None:
    """For later."""
    stage.timed("wrote a backup of the running hub", lambda: mesh.operator(stage.lab, "backup", str(file)))


def cut(stage: Stage) -> str:
    """A node loses its link. Returns its name."""
    ledger = stage.only("ledger")
    lost, others = ledger.node, [name for name in stage.nodes if name != ledger.node]
    stage.act(f"The link of {lost} breaks: packets vanish, nobody is told")
    before = stage.all_copies([lost])
    webs = len(stage.copies("web", others))
    began = stage.now()
    stage.lab.cut(lost)
    if stage.until("web has another copy elsewhere", lambda: len(stage.copies("web", others)) > webs, MOVE_S):
        started = max(one.up_since for one in stage.copies("web", others))
        stage.say(
            f"web: another copy runs {started - began:.1f} s after the cut"
            f" (lost_after, {LOST_AFTER_S:g} s, counts from when {lost} was last heard)"
        )
        stage.check(started - began >= LOST_AFTER_S / 2, "web was not replaced before its time")
    _handed_over(stage, lost, others, ledger.name, began)
    after = stage.all_copies([lost])
    gone = {key for key in before if key not in after}
    stage.check(gone == {(lost, ledger.name)}, f"everything else on {lost} runs on, untouched")
    stage.check(
        all(after[key] == before[key] for key in after if key in before), "and with the same processes"
    )
    return lost


def _handed_over(stage: Stage, lost: str, others: list[str], name: str, began: float) -> None:
    stage.until("ledger runs elsewhere", lambda: bool(stage.copies("ledger", others)), MOVE_S)
    new, old = stage.copies("ledger", others), stage.unit(lost, name)
    if not new:
        return
    stage.say(f"ledger: stopped on {lost} {old.down_since - began:.1f} s after the cut")
    stage.say(f"ledger: started on {new[0].node} {new[0].up_since - began:.1f} s after the cut")
    gap = new[0].up_since - old.down_since
    stage.check(
        not old.up and gap > 0, f"ledger stopped on {lost} before it started elsewhere ({gap:.2f} s before)"
    )
    why = stage.lab.run(lost, ["skerry-agent", "why", "ledger"]).stdout.splitlines()[0]
    stage.check("waits for a lease" in why, f"{lost} itself, cut off, says why: {why}")


def heal(stage: Stage, lost: str) -> None:
    """The link is back."""
    stage.act(f"The link of {lost} is mended")
    home = stage.copies("ledger")
    began = stage.now()
    stage.lab.heal(lost)
    if stage.until(
        "web is back to three copies", lambda: len(stage.copies("web")) == 3 and stage.healthy(), MOVE_S
    ):
        stage.say(f"web: the original stays, its replacement is gone, {stage.now() - began:.1f} s after")
    webs = {one.node for one in stage.copies("web")}
    stage.check(webs == set(stage.nodes), 'one copy of web on each node again (on_return = "keep-original")')
    ledgers = stage.copies("ledger")
    stage.check(ledgers == home and len(ledgers) == 1, "ledger stays where it went, and there is one")


def cold_boot(stage: Stage) -> tuple[str, float]:
    """No hub, and a power cut. Returns the node, and since when there is no hub."""
    node = stage.only("ledger").node
    stage.act(f"The hub is stopped, and {node} loses power")
    before = {name for where, name in stage.all_copies([node]) if "ledger" not in name and where == node}
    stage.lab.hub_stop()
    alone = stage.wall()
    stage.lab.poweroff(node)
    stage.timed(f"{node} has booted", lambda: stage.lab.boot(node))

    def up() -> bool:
        return before <= {name for _, name in stage.all_copies([node])}

    stage.until("everything best-effort is up again with no hub", up, SOON_S)
    stage.check(up(), f"with no hub, {len(before)} copies are up again: {', '.join(sorted(before))}")
    stage.check(not stage.copies("ledger", [node]), "ledger waits: nobody can say that it is the only one")
    refused = stage.lab.run(node, ["systemctl", "start", "skerry-ledger-1.service"], check=False)
    stage.check(refused.returncode != 0, "'systemctl start' by hand is refused while there is no lease")
    stage.say(stage.lab.run(node, ["skerry-agent", "why", "ledger"]).stdout.splitlines()[0])
    stage.until(
        "the agent of the node has noted that gauge runs again",
        lambda: stage.noted("gauge", node) > alone,
        SOON_S,
    )
    return node, alone


def hub_back(stage: Stage, node: str, alone: float) -> None:
    """The hub returns, and hears what the node did while it was `alone`."""
    stage.act("The hub is started again")
    began, until = stage.now(), stage.wall()
    stage.lab.hub_start()
    if stage.until("everything is healthy again", stage.healthy, MOVE_S + SOON_S):
        stage.say(f"the hub knows everything again, {stage.now() - began:.1f} s after its start")
    stage.until("ledger runs again", lambda: len(stage.copies("ledger")) == 1, MOVE_S)
    stage.check(len(stage.copies("ledger")) == 1, "one ledger runs again, under a lease")

    def booted() -> list[float]:
        told = [one for one in stage.events() if (one.code, one.node) == ("booted", node)]
        return [one.at_ms / 1000 for one in told if alone < one.at_ms / 1000 < until]

    def up() -> list[float]:
        return [at for at in stage.told("gauge", node) if alone < at < until]

    stage.until("what happened meanwhile has arrived", lambda: bool(booted() and up()), SOON_S)
    if booted() and up():
        stage.say(
            f"{node} has told that it booted {until - booted()[0]:.1f} s before there was a hub to tell,"
        )
        stage.say(f"and that its gauge came up {until - min(up()):.1f} s before")
    stage.check(bool(booted() and up()), f"{node}'s history of the time without a hub has arrived")


def old_backup(stage: Stage, file: Path) -> None:
    """Somebody puts back an old backup."""
    stage.act("Somebody puts back the old backup")
    newer = file.with_suffix(".toml")
    newer.write_text(APPS.read_text(encoding="utf-8").replace("sleep 5", "sleep 4"), encoding="utf-8")
    stage.show("apply", str(newer), "--reason", "read the gauge more often")
    stage.say("gauge was changed after the backup was written: the backup knows its revision 1 alone")
    before = stage.all_copies()
    stage.lab.hub_stop()
    mesh.restore(stage.lab, file)
    stage.lab.hub_start()

    def ahead() -> bool:
        return len(mesh.paused(stage.lab)) == len(stage.nodes)

    stage.until("the hub says which nodes are ahead of it", ahead, SOON_S)
    stage.show("hub", "status")
    stage.show("hub", "resume")
    stage.check(ahead(), f"it names {', '.join(mesh.paused(stage.lab))} as ahead of what it knows")
    stage.check_same(before, "nothing moved, nothing stopped, nothing came back")
    mesh.operator(stage.lab, "hub", "resume", "--take", "nodes", "--yes", "--reason", "the nodes know better")
    stage.until("no node is paused", lambda: not mesh.paused(stage.lab), SOON_S)
    stage.until("the hub counts every copy as healthy", stage.healthy, SOON_S)
    stage.check_same(before, "the nodes' word was taken, and still nothing moved")
    stage.check(stage.apps()["gauge"].revision == 2, "and the hub has learned gauge's revision 2 from them")


def talk(stage: Stage) -> None:
    """Two apps on machines behind NATs of their own, and what their connection goes through."""
    stage.act("Two apps talk by name: asker on n1, teller on n3, each behind a NAT")
    stage.show("apply", str(TALK), "--reason", "demo")
    stage.until("asker is answered", lambda: answers(stage) > 0, SOON_S)
    stage.until("the way is direct", lambda: "to n3: directly" in ways(stage), SOON_S)
    stage.say(next((line.strip() for line in ways(stage).splitlines() if "to n3" in line), "no way is shown"))
    line = stage.only("asker").pid
    stage.lab.cut("hub")
    goes_on(stage, "with the hub's machine cut off, answers go on", line)
    stage.lab.heal("hub")
    stage.lab.move("n3")
    goes_on(stage, "n3 has another address, and the same connection goes on", line)


def goes_on(stage: Stage, what: str, line: int) -> None:
    """Asker is answered on, and is the process that it was."""
    before, began = answers(stage), stage.now()
    if stage.until(f"{what}: more answers", lambda: answers(stage) > before + 5, MOVE_S):
        stage.say(f"five answers more took {stage.now() - began:.1f} s")
    stage.check(stage.only("asker").pid == line, what)


def answers(stage: Stage) -> int:
    """How many asker has."""
    said = stage.lab.run("n1", ["journalctl", "-u", "skerry-asker-1", "-n", "1", "-o", "cat"], check=False)
    word, _, number = said.stdout.strip().partition(" ")
    return int(number) if word == "answer" else 0


def ways(stage: Stage) -> str:
    """How n1 reaches others, as it says itself."""
    return stage.lab.run("n1", ["skerry-agent", "status"], check=False).stdout
