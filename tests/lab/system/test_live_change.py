"""A change touches only what it changes: limits are set on the living process, other changes restart one instance."""

from tests.lab.system.world import World

NODES = 2


def app(name: str, node: str, resources: str, run: str = "sleep") -> str:
    return f"""
[app.{name}]
run = ["{run}", "inf"]
availability = "best-effort"
[app.{name}.place]
nodes = ["{node}"]
[app.{name}.resources]
{resources}
"""


def test_limits_change_on_the_living_process(world: World) -> None:
    world.apply(app("limits", "n1", 'memory = "64M"\ncpu = 0.5\ntasks = 10'))
    (before,) = world.copies("limits")
    assert world.shown("n1", "skerry-limits-1.service", "MemoryMax") == str(64 << 20)
    assert "limits: live" in " ".join(
        world.skerry(
            "apply", world.file(app("limits", "n1", 'memory = "96M"\ncpu = 2\ntasks = 20')), "--plan"
        ).split()
    ).replace("live limits:", "limits: live")
    world.apply(app("limits", "n1", 'memory = "96M"\ncpu = 2\ntasks = 20\ncpu_weight = 50'))
    assert world.shown("n1", "skerry-limits-1.service", "MemoryMax") == str(96 << 20)
    assert world.shown("n1", "skerry-limits-1.service", "CPUQuotaPerSecUSec") == "2s"
    assert world.shown("n1", "skerry-limits-1.service", "TasksMax") == "20"
    assert world.shown("n1", "skerry-limits-1.service", "CPUWeight") == "50"
    assert world.copies("limits") == [before], "the same process, never restarted"
    world.lab.poweroff("n1")
    world.lab.boot("n1")
    assert world.shown("n1", "skerry-limits-1.service", "MemoryMax") == str(96 << 20), (
        "also after a cold boot"
    )


def test_a_limit_that_is_taken_away_is_gone_on_the_living_process(world: World) -> None:
    world.apply(app("free", "n2", 'memory = "64M"'))
    (before,) = world.copies("free")
    world.apply(app("free", "n2", "tasks = 10"))
    assert world.shown("n2", "skerry-free-1.service", "MemoryMax") == "infinity"
    assert world.copies("free") == [before]


def test_a_restart_change_restarts_that_instance_alone(world: World) -> None:
    world.apply(
        app("one", "n1", "tasks = 10") + app("two", "n1", "tasks = 10") + app("three", "n2", "tasks = 10")
    )
    before = world.running()
    world.apply(app("one", "n1", "tasks = 10", run="/bin/sleep") + app("two", "n1", "tasks = 10"))
    after = world.running()
    assert before.keys() == after.keys()
    assert {key for key in before if before[key] != after[key]} == {("n1", "one-1")}


def test_more_replicas_touch_none_that_run(world: World) -> None:
    text = '[app.many]\nrun = ["sleep", "inf"]\navailability = "ha"\nreplicas = 1\n[app.many.ha]\nlost_after = "60s"\n'
    world.apply(text)
    before = world.running()
    world.apply(text.replace("replicas = 1", "replicas = 4"))
    assert before.items() <= world.running().items()
    assert len(world.copies("many")) == 4
    world.apply(text.replace("replicas = 1", "replicas = 2"), "--yes")
    world.until("two are left", lambda: len(world.copies("many")) == 2)
    assert before.items() <= world.running().items(), "the newest go first"


def test_an_admins_own_drop_in_is_left_alone(world: World) -> None:
    world.apply(app("mine", "n2", "tasks = 10"))
    folder = "/etc/systemd/system/skerry-mine-1.service.d"
    edit = f"mkdir -p {folder}; printf '[Service]\\nNice=7\\n' > {folder}/nice.conf"
    world.run("n2", "sh", "-c", f"{edit}; systemctl daemon-reload; systemctl restart skerry-mine-1")
    (before,) = world.copies("mine")
    world.apply(app("mine", "n2", "tasks = 12"))
    assert world.copies("mine") == [before]
    assert world.shown("n2", "skerry-mine-1.service", "Nice") == "7"
    world.apply(app("mine", "n2", "tasks = 12", run="/bin/sleep"))
    assert world.shown("n2", "skerry-mine-1.service", "Nice") == "7"
