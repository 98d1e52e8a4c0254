from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skerry_hub.cli.artifacts import find, folder_of, line_of, measure
from skerry_protocol.app import Artifact
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
        'app.api.artifact: found "./api.tar": No such file or directory, expected a tar archive of safe members',
        'app.web.artifact: found "./web.tar": it is not a file, expected a tar archive of safe members',
    ]
    assert [fault.line for fault in faults] == [3, 6]


def test_paths_begin_at_the_files_folder() -> None:
    assert folder_of("a/b.toml") == Path("a")
    assert folder_of("-") == Path()


def packed(path: Path, name: str, content: bytes = b"hello", **fields: object) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        for key, value in fields.items():
            setattr(member, key, value)
        archive.addfile(member, io.BytesIO(content))
    return path


def test_an_archive_is_known_by_the_digest_of_its_bytes(tmp_path: Path) -> None:
    data = packed(tmp_path / "web.tar.gz", "serve").read_bytes()
    found = find(tmp_path, {WEB: {"any": "web.tar.gz"}}, "")
    assert isinstance(found, dict)
    assert found["web"]["any"].artifact == Artifact(hashlib.sha256(data).hexdigest(), len(data))


@pytest.mark.parametrize(
    ("name", "content", "fields", "said"),
    [
        ("../serve", b"", {}, "a path with '..'"),
        ("/serve", b"", {}, "an absolute path"),
        ("link", b"", {"type": tarfile.SYMTYPE, "linkname": "../../etc/passwd"}, "a link that leads out"),
        ("hard", b"", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}, "a hard link to"),
        ("null", b"", {"type": tarfile.CHRTYPE}, "a device"),
        ("pipe", b"", {"type": tarfile.FIFOTYPE}, "a fifo"),
        ("root", b"x", {"mode": 0o4755}, "set-user-id"),
        ("zeros", bytes(8 << 20), {}, "it unpacks to more than"),
    ],
)
def test_what_no_node_would_unpack_is_not_pushed(
    tmp_path: Path, name: str, content: bytes, fields: dict[str, object], said: str
) -> None:
    found = measure(packed(tmp_path / "a.tar.gz", name, content, **fields))
    assert isinstance(found, str)
    assert said in found


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty"),
        (b"no tar", "it was cut short"),
        (b"\x1f\x8b\x08\x00", "it was cut short"),
        (b"\xfd7zXZ\x00", "it was cut short"),
        (b"BZh9", "it is compressed with bzip2"),
    ],
)
def test_what_is_no_archive_is_said(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "a").write_bytes(data)
    found = str(measure(tmp_path / "a"))
    assert found.startswith("no node would unpack it: ")
    assert said in found


@given(st.integers(0, 400), st.integers(0, 255))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_archive_is_never_a_crash(tmp_path: Path, at: int, byte: int) -> None:
    data = bytearray(packed(tmp_path / "whole.tar.gz", "serve", bytes(range(256))).read_bytes())
    (tmp_path / "cut").write_bytes(data[:at])
    data[at % len(data)] = byte
    (tmp_path / "bent").write_bytes(data)
    assert measure(tmp_path / "cut")
    assert measure(tmp_path / "bent")
