from __future__ import annotations

from skerry_hub.api.views import ApplyView
from skerry_hub.cli.preview import lines, wanted_of
from skerry_hub.cli.progress import Wanted
from skerry_hub.loops.telling import Change, Kind
from skerry_protocol.ids import AppName

WEB, API = AppName("web"), AppName("api")


def test_what_is_mild_comes_first_and_notes_last() -> None:
    view = ApplyView(
        changes=tuple(Change(API, kind, text=f"api: {kind.value}s") for kind in reversed(Kind)),
        notes=("web forbids overlap: a copy is stopped within 54 s",),
    )
    assert list(lines(view)) == [
        "  -        api: nones",
        "  live     api: lives",
        "  restart  api: restarts",
        "  replace  api: replaces",
        "  place    api: places",
        "  remove   api: removes",
        "  note: web forbids overlap: a copy is stopped within 54 s",
    ]


def test_no_change_is_said() -> None:
    assert list(lines(ApplyView())) == ["nothing changes: all apps are as the file says"]


def test_every_app_that_was_named_is_waited_for() -> None:
    view = ApplyView(changes=(Change(WEB, Kind.LIVE),), revisions={"web": 4, "api": 2})
    assert wanted_of(view) == (Wanted("web", 4), Wanted("api", 2, unchanged=True))
