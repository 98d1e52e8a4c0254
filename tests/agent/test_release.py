"""The release is what the package's own metadata says."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from skerry_agent import release


def test_it_is_what_is_installed() -> None:
    assert release.version() == metadata.version("skerry")


def test_it_is_told_by_the_name_of_the_first_that_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "skerry-9.8.7rc1.dist-info").mkdir()
    (tmp_path / "skerry_other-1.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", ["/nowhere", str(tmp_path), *sys.path])
    assert release.version() == "9.8.7rc1"


def test_where_nothing_is_found_the_metadata_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(metadata.PackageNotFoundError):
        release.version()
