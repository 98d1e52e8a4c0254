"""Downloading: resumed after cuts, verified, and never fooled by what a server says."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skerry_agent.artifacts.fetch import BadArtifact, FetchFailed, fetch, fetch_async
from skerry_protocol.app import Artifact
from tests.tars import artifact

DATA = bytes(range(256)) * 4000
ARTIFACT = artifact(DATA)


@dataclass
class Hub:
    """A real HTTP server; `cuts` are the numbers of bytes after which it hangs up, one for each request."""

    data: bytes = DATA
    cuts: list[int] = field(default_factory=list)
    status: int | None = None
    ranges: bool = True
    shift: int = 0  # it answers with another part than it was asked for
    asked: list[str | None] = field(default_factory=list)
    port: int = 0

    def open(self, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("GET", path, headers=headers)
        return connection.getresponse()

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        asked = request.headers["Range"]
        self.asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        partial = asked is not None and self.ranges
        request.send_response(self.status or (206 if partial else 200))
        body = self.data[start:]
        if partial:
            whole = len(self.data)
            request.send_header("Content-Range", f"bytes {start + self.shift}-{whole - 1}/{whole}")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)


@pytest.fixture
def hub() -> Iterator[Hub]:
    it = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                it.answer(self)
            except ConnectionError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    it.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield it
    server.shutdown()
    thread.join()
    server.server_close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_is_fetched_whole(hub: Hub, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = fetch(hub.open, "/a", ARTIFACT, tmp_path, lambda there, whole: seen.append((there, whole)))
    assert path.read_bytes() == DATA
    assert names(tmp_path) == [f"{ARTIFACT.sha256}.tar"]
    assert seen[-1] == (len(DATA), len(DATA))


async def test_it_is_fetched_in_a_thread(hub: Hub, tmp_path: Path) -> None:
    assert (await fetch_async(hub.open, "/a", ARTIFACT, tmp_path)).read_bytes() == DATA


def test_what_is_there_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    fetch(hub.open, "/a", ARTIFACT, tmp_path)
    fetch(hub.open, "/a", ARTIFACT, tmp_path)
    assert len(hub.asked) == 1


def test_what_was_damaged_on_disk_is_fetched_again(hub: Hub, tmp_path: Path) -> None:
    fetch(hub.open, "/a", ARTIFACT, tmp_path).write_bytes(DATA[:-1] + b"!")
    with pytest.raises(BadArtifact, match="sha256"):
        fetch(hub.open, "/a", ARTIFACT, tmp_path)
    assert fetch(hub.open, "/a", ARTIFACT, tmp_path).read_bytes() == DATA


def test_it_goes_on_where_it_was_cut(hub: Hub, tmp_path: Path) -> None:
    hub.cuts = [1000, 70_000]
    for there in (1000, 71_000):
        with pytest.raises(FetchFailed, match=f"after {there} of"):
            fetch(hub.open, "/a", ARTIFACT, tmp_path)
    assert fetch(hub.open, "/a", ARTIFACT, tmp_path).read_bytes() == DATA
    assert hub.asked == [None, "bytes=1000-", "bytes=71000-"]


@given(st.lists(st.integers(0, len(DATA) // 2), max_size=5), st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_cuts_end_in_the_same_file(
    hub: Hub, tmp_path_factory: pytest.TempPathFactory, cuts: list[int], ranges: bool
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    hub.cuts, hub.ranges = list(cuts), ranges
    for _ in range(len(cuts) + 1):
        try:
            assert fetch(hub.open, "/a", ARTIFACT, folder).read_bytes() == DATA
            return
        except FetchFailed:
            pass
    pytest.fail("every attempt was cut off")


def test_a_server_without_ranges_begins_anew(hub: Hub, tmp_path: Path) -> None:
    hub.cuts, hub.ranges = [5000], False
    with pytest.raises(FetchFailed):
        fetch(hub.open, "/a", ARTIFACT, tmp_path)
    assert fetch(hub.open, "/a", ARTIFACT, tmp_path).read_bytes() == DATA


def test_another_part_than_was_asked_for_is_not_taken(hub: Hub, tmp_path: Path) -> None:
    hub.cuts, hub.shift = [5000], 7
    with pytest.raises(FetchFailed):
        fetch(hub.open, "/a", ARTIFACT, tmp_path)
    with pytest.raises(FetchFailed, match="another part"):
        fetch(hub.open, "/a", ARTIFACT, tmp_path)
    assert fetch(hub.open, "/a", ARTIFACT, tmp_path).read_bytes() == DATA


@pytest.mark.parametrize("status", [206, 302, 404, 416, 500, 503])
def test_a_refusal_tells_its_status(hub: Hub, tmp_path: Path, status: int) -> None:
    hub.status = status
    with pytest.raises(FetchFailed, match=str(status)) as caught:
        fetch(hub.open, "/a", ARTIFACT, tmp_path)
    assert caught.value.status == status


def test_a_416_forgets_what_was_there(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / f"{ARTIFACT.sha256}.part").write_bytes(DATA[:100])
    hub.status = 416
    with pytest.raises(FetchFailed):
        fetch(hub.open, "/a", ARTIFACT, tmp_path)
    hub.status = None
    assert fetch(hub.open, "/a", ARTIFACT, tmp_path).read_bytes() == DATA
    assert hub.asked == ["bytes=100-", None]


def test_wrong_bytes_are_refused_and_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.data = DATA[:-1] + b"!"
    with pytest.raises(BadArtifact, match=f"not {ARTIFACT.sha256}"):
        fetch(hub.open, "/a", ARTIFACT, tmp_path)
    assert names(tmp_path) == []


def test_a_wrong_beginning_from_an_earlier_attempt_costs_one_attempt(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / f"{ARTIFACT.sha256}.part").write_bytes(b"rubbish")
    with pytest.raises(BadArtifact):
        fetch(hub.open, "/a", ARTIFACT, tmp_path)
    assert fetch(hub.open, "/a", ARTIFACT, tmp_path).read_bytes() == DATA


@pytest.mark.parametrize("left", [len(DATA), len(DATA) + 10])
def test_a_whole_or_longer_part_needs_no_faith(hub: Hub, tmp_path: Path, left: int) -> None:
    (tmp_path / f"{ARTIFACT.sha256}.part").write_bytes((DATA + bytes(10))[:left])
    assert fetch(hub.open, "/a", ARTIFACT, tmp_path).read_bytes() == DATA
    assert len(hub.asked) == (0 if left == len(DATA) else 1)


def test_more_than_was_promised_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.data = DATA + b"more"
    with pytest.raises(BadArtifact, match="more than"):
        fetch(hub.open, "/a", ARTIFACT, tmp_path)


def test_a_hub_that_is_not_there(hub: Hub, tmp_path: Path) -> None:
    def refused(path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        raise OSError(113, "No route to host")

    with pytest.raises(FetchFailed, match="No route to host"):
        fetch(refused, "/a", ARTIFACT, tmp_path)


def test_it_can_be_stopped_and_keeps_what_came(hub: Hub, tmp_path: Path) -> None:
    stop = threading.Event()
    with pytest.raises(FetchFailed, match="was stopped"):
        fetch(hub.open, "/a", ARTIFACT, tmp_path, lambda _there, _whole: stop.set(), stop)
    part = tmp_path / f"{ARTIFACT.sha256}.part"
    assert DATA.startswith(part.read_bytes())
    assert part.stat().st_size


def test_an_empty_artifact(hub: Hub, tmp_path: Path) -> None:
    hub.data = b""
    empty = artifact(b"")
    assert fetch(hub.open, "/a", Artifact(empty.sha256, 0), tmp_path).read_bytes() == b""
