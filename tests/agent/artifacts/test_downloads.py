"""Artifacts over real pinned HTTPS: cut off, given up, wanted again, and nothing left of what nobody wants."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from skerry_agent.artifacts.downloads import Downloads
from skerry_agent.hublink.https import HttpsError
from skerry_protocol.app import Artifact
from skerry_protocol.messages import AssignmentAt, Issued, Version
from skerry_protocol.signing import new_key, pin, public_key
from tests.natsrig import until

from ..artifacthub import ArtifactHub, serving
from ..noderig import identity


def archive(name: str, size: int = 100_000) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = size
        tar.addfile(member, io.BytesIO(name[:1].encode() * size))
    return made.getvalue()


def artifact(data: bytes) -> Artifact:
    return Artifact(hashlib.sha256(data).hexdigest(), len(data))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[ArtifactHub]:
    with serving(tmp_path) as made:
        yield made


class Bringing:
    """Downloads of a node, and what they said."""

    def __init__(self, folder: Path, hub: ArtifactHub) -> None:
        self.state = folder / "state"
        (self.state / "artifacts").mkdir(parents=True)
        who = structs.replace(
            identity(), pin=pin(public_key(hub.root)), delegation=hub.shown, hubs=(hub.address,)
        )
        self.said: list[tuple[str, str]] = []
        self.who = who
        self.downloads = Downloads(who, new_key(), self.state, lambda sha, why: self.said.append((sha, why)))

    def here(self, one: Artifact) -> bool:
        return (self.state / "artifacts" / one.sha256).is_dir() and (one.sha256, "") in self.said

    def parts(self) -> list[str]:
        folder = self.state / "downloads"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


async def test_what_is_wanted_comes_and_nothing_of_it_is_left_over(tmp_path: Path, hub: ArtifactHub) -> None:
    data = archive("a")
    hub.artifacts[artifact(data).sha256] = data
    one = Bringing(tmp_path, hub)
    one.downloads.want([artifact(data)])
    await until(lambda: one.here(artifact(data)))
    assert one.parts() == []
    await one.downloads.close()


async def test_a_renewed_node_fetches_from_where_its_hub_is_now(tmp_path: Path, hub: ArtifactHub) -> None:
    data = archive("a")
    hub.artifacts[artifact(data).sha256] = data
    one = Bringing(tmp_path, hub)
    one.downloads.renewed(structs.replace(one.who, hubs=("127.0.0.1:1",)))
    one.downloads.want([artifact(data)])
    await until(lambda: bool(one.said))
    assert "127.0.0.1:1" in one.said[0][1]
    one.downloads.renewed(one.who)
    one.downloads.hurry()
    await until(lambda: one.here(artifact(data)))
    await one.downloads.close()


async def test_a_download_that_is_given_up_leaves_nothing_and_may_be_wanted_again_at_once(
    tmp_path: Path, hub: ArtifactHub
) -> None:
    data = archive("a", 2_000_000)
    hub.artifacts[artifact(data).sha256] = data
    hub.gate = threading.Event()  # half of it comes, then the line is still
    one = Bringing(tmp_path, hub)
    one.downloads.want([artifact(data)])
    await until(lambda: bool(one.parts()))
    one.downloads.want([])
    one.downloads.want([artifact(data)])  # the first thread still sits in its read
    hub.gate.set()
    await until(lambda: one.here(artifact(data)))
    assert [why for _, why in one.said if why] == []
    assert one.parts() == []
    other = archive("b", 2_000_000)
    hub.gate = threading.Event()
    hub.artifacts[artifact(other).sha256] = other
    one.downloads.want([artifact(other)])
    await until(lambda: bool(one.parts()))
    one.downloads.want([])
    hub.gate.set()
    await until(lambda: one.parts() == [])
    await one.downloads.close()


async def test_a_hub_that_does_not_have_it_is_asked_again_and_the_reason_is_said(
    tmp_path: Path, hub: ArtifactHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = archive("a")
    one = Bringing(tmp_path, hub)
    one.downloads.want([artifact(data)])
    await until(lambda: bool(one.said))
    assert "404" in one.said[0][1]
    hub.artifacts[artifact(data).sha256] = data
    one.downloads.hurry()
    await until(lambda: one.here(artifact(data)))
    await one.downloads.close()


async def test_wrong_bytes_are_thrown_away(tmp_path: Path, hub: ArtifactHub) -> None:
    wanted = artifact(archive("a"))
    hub.artifacts[wanted.sha256] = archive("b")
    one = Bringing(tmp_path, hub)
    one.downloads.want([wanted])
    await until(lambda: bool(one.said))
    assert "cannot be used" in one.said[0][1]
    assert one.parts() == []
    hub.artifacts[wanted.sha256] = archive("a")
    one.downloads.hurry()
    await until(lambda: one.here(wanted))
    await one.downloads.close()


async def test_closing_waits_for_no_slow_line(tmp_path: Path, hub: ArtifactHub) -> None:
    """Takes 1 s: so long it waits."""
    data = archive("a", 2_000_000)
    hub.artifacts[artifact(data).sha256] = data
    hub.gate = threading.Event()
    one = Bringing(tmp_path, hub)
    one.downloads.want([artifact(data)])
    await until(lambda: bool(one.parts()))
    began = time.monotonic()
    await one.downloads.close()
    assert time.monotonic() - began < 3
    hub.gate.set()


async def test_an_assignment_of_absurd_size_is_not_fetched(tmp_path: Path, hub: ArtifactHub) -> None:
    one = Bringing(tmp_path, hub)
    at = AssignmentAt(Issued(Version(1, 1, 1), b"d" * 32), 1 << 40)
    with pytest.raises(HttpsError, match="at most"):
        await one.downloads.assignment(at)
    hub.assignments["64" * 32] = b"envelope"
    assert await one.downloads.assignment(AssignmentAt(at.issued, 8)) == b"envelope"
