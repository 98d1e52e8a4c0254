from skerry_agent.switch.overrides import NotPossible, add, clear, effective_revision, make, still_hold
from skerry_protocol.ids import AppName, InstanceId, MeshName, NodeId, Region
from skerry_protocol.messages import Assignment, Instance, Override, Version

WEB, DB = AppName("web"), AppName("db")


def an_instance(revision: int, app: AppName = WEB) -> Instance:
    return Instance(InstanceId(f"{app}-1-aaaaaaaaaa"), app, 1, revision)


def an_assignment(*instances: Instance) -> Assignment:
    return Assignment(MeshName("m"), Region("r"), NodeId("n"), Version(1, 1, 1), instances)


def made(revision: int, *kept: int, app: AppName = WEB) -> Override | NotPossible:
    instance = an_instance(revision, app)
    return make(an_assignment(instance), {instance.id: kept}, instance, by="admin", reason="bad", now_ms=5)


def test_the_newest_older_revision_is_put_back() -> None:
    override = made(4, 2, 3, 4)
    assert isinstance(override, Override)
    assert (override.revision, override.instead) == (4, 3)


def test_after_a_rollback_at_the_hub_the_only_other_one_may_be_newer() -> None:
    override = made(2, 3, 2)
    assert isinstance(override, Override)
    assert override.instead == 3


def test_without_another_revision_it_says_what_to_do() -> None:
    refused = made(1, 1)
    assert isinstance(refused, NotPossible)
    assert "keeps no other revision" in refused.reason
    assert "skerry rollback web" in refused.reason


def test_what_is_not_assigned_cannot_be_rolled_back() -> None:
    refused = make(an_assignment(), {}, an_instance(1), by="admin", reason="", now_ms=0)
    assert isinstance(refused, NotPossible)


def test_it_holds_for_its_revision_only_and_ends_with_another() -> None:
    override = made(4, 3)
    assert isinstance(override, Override)
    held = add((), override)
    assert effective_revision(held, an_instance(4)) == 3
    assert effective_revision(held, an_instance(5)) == 5
    assert still_hold(held, an_assignment(an_instance(4))) == held
    assert still_hold(held, an_assignment(an_instance(5))) == ()
    assert still_hold(held, an_assignment()) == ()


def test_a_newer_word_on_the_same_instance_replaces_the_older() -> None:
    first, second = made(4, 3), made(4, 2)
    assert isinstance(first, Override)
    assert isinstance(second, Override)
    assert add(add((), first), second) == (second,)


def test_clearing_takes_one_app_or_all() -> None:
    web, db = made(4, 3), made(4, 3, app=DB)
    assert isinstance(web, Override)
    assert isinstance(db, Override)
    both = add(add((), web), db)
    assert clear(both, WEB) == (db,)
    assert clear(both) == ()
