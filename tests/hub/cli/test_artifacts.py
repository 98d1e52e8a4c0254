from __future__ import annotations

import hashlib
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from skerry_hub.cli.artifacts import find, folder_of, line_of
from skerry_protocol.ids import AppName

TEXT = (
    '# ./web.tar is nice\n[app.api]\nartifact = "./api.tar"\n[app.web]\nrun = ["x"]\nartifact = "./web.tar"\n'
)
WEB, API = AppName("web"), AppName("api")


def test_a_line_is_looked_for_where_its_app_begins() -> None:
    assert line_of(TEXT, "web", "./web.tar") == 6
    assert line_of(TEXT, "api", "./api.tar") == 3
    assert line_of(TEXT, "other", "./web.tar") == 1
    assert line_of(TEXT, "web", "nowhere") is None


@given(st.text(), st.text(), st.text())
def test_any_text_gives_a_line_of_it_or_none(text: str, app: str, name: str) -> None:
    line = line_of(text, app, name)
    assert line is None or name in text.splitlines()[line - 1]


def test_all_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "web.tar")
    faults = find(tmp_path, {API: {"any": "./api.tar"}, WEB: {"any": "./web.tar"}}, TEXT)
    assert isinstance(faults, list)
    assert [str(fault) for fault in faults] == [
        'app.api.artifact: found "./api.tar": No such file or directory, expected a tar archive',
        'app.web.artifact: found "./web.tar": it is not a file, expected a tar archive',
    ]
    assert [fault.line for fault in faults] == [3, 6]


def test_paths_begin_at_the_files_folder() -> None:
    assert folder_of("a/b.toml") == Path("a")
    assert folder_of("-") == Path()
    assert hashlib.sha256(b"").hexdigest()  # what `find` names archives by
