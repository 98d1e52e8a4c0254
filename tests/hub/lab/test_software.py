import sys
from pathlib import Path

from skerry_hub.lab import software


def test_a_folder_in_another_is_not_named_twice() -> None:
    paths = [Path("/a/b"), Path("/a"), Path("/c"), Path("/c"), Path("/ab")]
    assert software.outermost(paths) == (Path("/a"), Path("/ab"), Path("/c"))


def test_nodes_see_what_runs_here() -> None:
    visible = software.visible([Path("/more")])
    for path in (Path(sys.prefix), Path(software.__file__), Path("/more")):
        assert any(path.is_relative_to(each) for each in visible)
    assert not any(path.is_relative_to("/usr") for path in visible)
