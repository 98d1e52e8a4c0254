"""The command line as people start it, against a real hub: keys, store, TLS and API, with a machine that joined."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from skerry_hub.cli.client import Client, api
from skerry_hub.cli.errors import CliError
from skerry_hub.cli.pinned import PinnedConnection
from skerry_hub.cli.settings import load
from skerry_protocol import signing
from skerry_protocol.codec import decode, encode
from skerry_protocol.ids import NodeName, TokenId
from skerry_protocol.jointoken import JoinToken, parse_token
from skerry_protocol.messages import JoinReply, JoinRequest

BIN = Path(sys.executable).parent
APPS = """
[app.web]
run = ["./serve"]
artifact = "./web.tar.gz"
availability = "best-effort"
[app.lone]
run = ["/bin/sleep", "1d"]
availability = "ha"
[app.lone.ha]
lost_after = "60s"
overlap = "forbid"
"""


@dataclass
class Desk:
    """A hub, and an operator's folder beside it."""

    folder: Path
    port: int

    def run(
        self, *words: str, stdin: str = "", config: str = "operator.toml"
    ) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "SKERRY_CONFIG": str(self.folder / config)}
        return subprocess.run(
            [BIN / "skerry", *words],
            capture_output=True,
            text=True,
            env=env,
            check=False,
            input=stdin,
            timeout=60,
        )

    def good(self, *words: str) -> str:
        """What it prints; it must not fail."""
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fails(self, *words: str, code: int = 3) -> str:
        """What it says is wrong."""
        done = self.run(*words)
        assert done.returncode == code, (done.stdout, done.stderr)
        assert done.stderr.startswith("skerry: cannot ")
        return done.stderr

    def json(self, *words: str) -> object:
        return json.loads(self.good(*words, "--json"))

    def joined(self, name: str) -> JoinReply:
        """Lets a machine in, as its agent does."""
        token = parse_token(self.good("token", "create", "--label", "site=a").strip())
        assert isinstance(token, JoinToken)
        key = signing.new_key()
        public = signing.public_key(key)
        proof = signing.sign(key, signing.JOIN, signing.join_words(token.id, token.secret, public)).signature
        asked = JoinRequest(
            TokenId(token.id), token.secret, public, proof, name, NodeName(name), "x86_64", 1 << 30, 2000
        )
        connection = PinnedConnection(f"https://127.0.0.1:{self.port}", token.pin, None, 10, 10)
        try:
            connection.connect()
            connection.request("POST", "/join", body=encode(asked))
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, body
            return decode(JoinReply, body)
        finally:
            connection.close()


def free_port() -> int:
    """A port that nobody has now; the hub's NATS server takes it at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert isinstance(port, int)
        return port


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Takes about two seconds: a hub starts."""
    folder = tmp_path_factory.mktemp("desk")
    hub = [BIN / "skerry-hub"]
    subprocess.run(
        [*hub, "init", "--mesh", "coast", "--region", "north", "--data", folder / "hub", "--address", "later:1"],
        check=True, capture_output=True,
    )  # fmt: skip
    with subprocess.Popen(
        [
            *hub, "run", "--no-tunnels", "--data", folder / "hub", "--listen", "127.0.0.1:0",
            "--nats-port", str(free_port()),
        ],
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        said = next(line for line in process.stderr if "serving" in line)
        port = int(said.split()[-1])
        settings = (folder / "hub/operator.toml").read_text().replace("later:1", f"127.0.0.1:{port}")
        (folder / "operator.toml").write_text(settings)
        (folder / "apps.toml").write_text(APPS)
        (folder / "serve").write_text("#!/bin/sh\n")
        with tarfile.open(folder / "web.tar.gz", "w:gz") as archive:
            archive.add(folder / "serve", "serve")
        try:
            yield Desk(folder, port)
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()


def test_the_hub_says_how_it_is_and_who_asks(desk: Desk) -> None:
    lines = desk.good("hub", "status").splitlines()
    assert lines[-3].startswith("mesh coast, region north, epoch 1, term 1")
    assert lines[-1] == (
        f"asked https://127.0.0.1:{desk.port} as admin (admin), named by {desk.folder / 'operator.toml'}"
    )


def test_a_doctor_says_which_part_of_the_way_is_at_fault(desk: Desk) -> None:
    def ill(*words: str, config: str = "operator.toml") -> list[tuple[str, str]]:
        done = desk.run("doctor", *words, "--json", config=config)
        found = json.loads(done.stdout)
        assert done.returncode == (0 if all(one["verdict"] == "ok" for one in found) else 1)
        return [(one["check"], one["seen"]) for one in found if one["verdict"] == "bad"]

    assert ill() == []
    assert ill("nowhere")[0][0] == "member"
    text = (desk.folder / "operator.toml").read_text()
    own = next(line for line in text.splitlines() if line.startswith("token"))
    (desk.folder / "stranger.toml").write_text(text.replace(own, 'token = "skerry-person-eve-x"'))
    assert ill(config="stranger.toml") == [
        ("token", "cannot let this token in: it is unknown or was revoked")
    ]
    pin = next(line for line in text.splitlines() if line.startswith("pin"))
    (desk.folder / "other.toml").write_text(text.replace(pin, f'pin = "{"0" * 64}"'))
    assert [check for check, _ in ill(config="other.toml")] == ["hub"]
    (desk.folder / "lost.toml").write_text(text.replace("127.0.0.1", "no-such-host.invalid"))
    assert [check for check, _ in ill(config="lost.toml")] == ["name", "hub"]
    assert [check for check, _ in ill(config="none.toml")] == ["settings"]


def test_people_come_and_go(desk: Desk) -> None:
    token = desk.good("people", "create", "bob", "--role", "viewer").strip()
    text = (desk.folder / "operator.toml").read_text()
    own = next(line for line in text.splitlines() if line.startswith("token"))
    (desk.folder / "bob.toml").write_text(text.replace(own, f'token = "{token}"'))
    assert desk.run("nodes", config="bob.toml").returncode == 0
    refused = desk.run("token", "create", config="bob.toml")
    assert refused.returncode == 3
    assert refused.stderr == ("skerry: cannot do this as bob: it takes the role operator, not viewer\n")
    assert "bob will be useless at once" in desk.good("people", "revoke", "bob", "--yes")
    gone = desk.run("nodes", config="bob.toml")
    assert (gone.returncode, gone.stderr) == (
        3, "skerry: cannot let this token in: it is unknown or was revoked\n  ask an admin for another\n",
    )  # fmt: skip
    assert [line.split()[:3] for line in desk.good("people", "list").splitlines()] == [
        ["PERSON", "ROLE", "STATE"], ["admin", "admin", "ready"], ["bob", "viewer", "revoked"],
    ]  # fmt: skip
    assert "nobody else is an admin" in desk.fails("people", "revoke", "admin", "--yes")


def test_a_refusal_is_heard_though_the_body_is_not_read_to_its_end(desk: Desk) -> None:
    settings = load((desk.folder / "operator.toml",))
    token = desk.good("people", "create", "cora", "--role", "viewer").strip()
    size = 64 << 20
    with tempfile.TemporaryFile() as big:
        big.truncate(size)
        with pytest.raises(CliError, match="it takes the role operator") as caught:
            Client(replace(settings, token=token)).upload(api("artifacts", "0" * 64), big, size)
    assert caught.value.code == 3
    desk.good("people", "revoke", "cora", "--yes")


def test_a_hub_that_is_another_is_not_told_the_token(desk: Desk) -> None:
    text = (desk.folder / "operator.toml").read_text()
    pin = next(line for line in text.splitlines() if line.startswith("pin"))
    (desk.folder / "other.toml").write_text(text.replace(pin, f'pin = "{"0" * 64}"'))
    done = desk.run("nodes", config="other.toml")
    assert done.returncode == 4
    assert "it is signed by another mesh's root" in done.stderr


def test_a_token_is_shown_once_and_revoked(desk: Desk) -> None:
    made = desk.run(
        "token", "create", "--reusable", "--limit", "2", "--ephemeral", "1h", "--name-pattern", "p-*"
    )
    assert made.stdout.startswith("skerry-join-")
    assert made.stdout.count("\n") == 1
    id_ = made.stdout.split("-")[2]
    assert made.stdout.split("-")[3][:20] not in desk.good("token", "list", "--json")
    row = next(line for line in desk.good("token", "list").splitlines() if line.startswith(id_))
    assert "0/2" in row
    assert "named p-*, forgotten after 1h" in row
    assert desk.good("token", "revoke", id_).startswith(f"Token {id_} is revoked")
    assert "cannot" in desk.fails("token", "revoke", "nothere")
    late = desk.fails("token", "create", "--expires", "999d", code=2)
    assert "'--expires': found '999d', expected a duration from 1s to 366d" in late


def test_what_holds_for_the_region_is_shown_and_set(desk: Desk) -> None:
    assert desk.good("hub", "set").splitlines()[1:] == ["storm-hold   forever", "keep-events  100000"]
    said = desk.good("hub", "set", "--storm-hold", "10m", "--reason", "a bad link")
    assert "storm-hold   10m" in said
    assert desk.json("hub", "set", "--keep-events", "5000") == {"storm_hold_ms": 600_000, "keep_events": 5000}
    assert "a bad link" in desk.good("events", "-n", "2")
    assert "storm-hold   forever" in desk.good("hub", "set", "--storm-hold", "forever")
    assert "expected 1000 to" in desk.fails("hub", "set", "--keep-events", "1")


def test_a_node_joins_and_takes_words(desk: Desk) -> None:
    assert desk.joined("pump").state == "joined"
    assert "site=a" in desk.good("nodes")
    assert "labels     site=a" in desk.good("nodes", "pump")
    assert "labels disk=ssd" in desk.good("node", "label", "pump", "disk=ssd", "--unset", "site")
    assert "pump is draining" in desk.good("node", "drain", "pump", "--reason", "new roof")
    assert "pump is ready" in desk.good("node", "undrain", "pump")
    assert "cannot approve pump" in desk.fails("node", "approve", "pump")
    assert "pump is dead" in desk.good("node", "dead", "pump")
    assert "pump is forgotten" in desk.good("node", "forget", "pump", "--yes")
    assert "cannot find node 'pump'" in desk.fails("node", "drain", "pump")
    assert "new roof" in desk.good("events", "--node", "pump")


def test_a_node_is_not_forgotten_unasked(desk: Desk) -> None:
    desk.joined("buoy")
    assert "there is no terminal" in desk.fails("node", "forget", "buoy", code=2)
    assert "buoy" in desk.good("nodes")
    desk.good("node", "forget", "buoy", "--yes")


def test_a_plan_says_that_the_hub_lacks_an_archive_as_the_apply_would(desk: Desk) -> None:
    text = f'[app.a]\nrun = ["true"]\navailability = "best-effort"\nartifact = {{ sha256 = "{"0" * 64}", size = 5 }}\n'
    (desk.folder / "lacking.toml").write_text(text)
    for words in (("--plan",), ()):
        said = desk.fails("apply", str(desk.folder / "lacking.toml"), *words)
        assert "the hub has not got an archive that is named by its sha256" in said
        assert "app.a.artifact.any: 000000000000" in said
    assert "there is none" in desk.fails("why", "a")


def test_an_app_from_plan_to_removal(desk: Desk) -> None:
    desk.joined("mast")
    file = str(desk.folder / "apps.toml")
    plan = desk.good("apply", file, "--plan")
    assert "note: web-1 has no place: 1 not heard from" in plan
    assert "note: lone forbids overlap: " in plan
    assert "nothing was changed" in plan
    assert "There is no app" in desk.good("apps")

    late = desk.run("apply", file, "--timeout", "0s", "--reason", "first light")
    assert late.returncode == 5, late.stderr
    assert "pushing web.tar.gz" in late.stderr
    assert "applied: web revision 1 and lone revision 1" in late.stdout
    assert "web is not there yet, and goes on by itself: 'skerry why web'" in late.stdout

    again = desk.run("apply", file, "--no-wait")
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == "nothing changes: all apps are as the file says\n"
    still = desk.run("apply", file)  # it ends at once: nothing is under way
    assert still.returncode == 5, still.stderr
    assert "applied" not in still.stdout
    assert "0 of 1 healthy: web-1 has no place" in still.stdout
    assert "web is not there yet, and goes on by itself: 'skerry why web'" in still.stdout

    assert desk.good("why", "web").startswith("web: ")
    assert "first light" in desk.good("history", "web")
    changed = APPS.replace('run = ["/bin/sleep", "1d"]', 'run = ["/bin/sleep", "2d"]')
    (desk.folder / "apps.toml").write_text(changed)
    assert "lone revision 2" in desk.good("apply", file, "--no-wait")
    assert desk.good("diff", "lone", "1", "2") == '- run = ["/bin/sleep","1d"]\n+ run = ["/bin/sleep","2d"]\n'
    assert "lone revision 3" in desk.good("rollback", "lone", "--no-wait")
    assert desk.good("diff", "lone", "1", "3") == "revisions 1 and 3 of lone are the same\n"

    assert "there is no terminal" in desk.fails("remove", "web", code=2)
    removed = desk.good("remove", "web", "--yes", "--reason", "over")
    assert removed.startswith("web: 0 copies will be stopped and removed.\n")
    assert "web is removed (revision 2)" in removed
    assert "cannot remove web" in desk.fails("remove", "web", "--yes", code=1)
    desk.good("remove", "lone", "--yes")
    desk.good("node", "forget", "mast", "--yes")


def test_what_an_app_says_of_the_network_is_shown(desk: Desk) -> None:
    text = (
        '[app.front]\nrun = ["/bin/x"]\navailability = "best-effort"\nports = { http = 8080 }\n'
        'reaches = ["behind"]\npublish = { http = 80 }\n'
    )
    (desk.folder / "front.toml").write_text(text)
    said = desk.good("apply", str(desk.folder / "front.toml"), "--no-wait")
    assert "note: front reaches behind, but the region has no app of that name" in said
    line = "network: ports http 8080/tcp (port 80 of its nodes); reaches behind"
    assert desk.good("apps", "front").splitlines()[-1] == line
    assert line not in desk.good("apps")
    (desk.folder / "front.toml").write_text(text.replace("= 80 ", "= 81 ") + "egress = false\n")
    said = desk.good("apply", str(desk.folder / "front.toml"), "--plan")
    assert "(http is published as port 81 of its nodes instead of 80, stays inside the mesh)" in said
    desk.good("remove", "front", "--yes")


def test_faults_never_reach_the_hub(desk: Desk) -> None:
    before = desk.json("events", "-n", "1000")
    (desk.folder / "bad.toml").write_text(
        '[app.web]\nrun = []\nartifact = "./nowhere.tar"\navailability = "ha"\n'
    )
    said = desk.fails("apply", str(desk.folder / "bad.toml"), code=1)
    assert f"{desk.folder / 'bad.toml'}:2: app.web.run" in said
    assert "nothing was sent to the hub" in said
    (desk.folder / "bad.toml").write_text(APPS.replace("web.tar.gz", "nowhere.tar"))
    said = desk.fails("apply", str(desk.folder / "bad.toml"), code=1)
    assert f'{desk.folder / "bad.toml"}:4: app.web.artifact: found "./nowhere.tar": No such file' in said
    assert desk.json("events", "-n", "1000") == before


def test_events_are_followed_as_they_come(desk: Desk) -> None:
    env = {"PATH": os.environ["PATH"], "SKERRY_CONFIG": str(desk.folder / "operator.toml")}
    with subprocess.Popen(
        [BIN / "skerry", "events", "-f", "--json", "-n", "1"], stdout=subprocess.PIPE, text=True, env=env
    ) as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["id"] >= 1
        desk.good("people", "create", "eve")
        assert json.loads(following.stdout.readline())["text"] == "eve (viewer) was made"
        following.send_signal(signal.SIGINT)
        assert following.wait(10) == 130
    desk.good("people", "revoke", "eve", "--yes")


def test_a_backup_is_whole_and_overwrites_nothing(desk: Desk) -> None:
    file = desk.folder / "copy.db"
    assert desk.good("backup", str(file)).startswith(f"wrote {file} (")
    assert file.read_bytes().startswith(b"SQLite format 3\0")
    assert "it is there already" in desk.fails("backup", str(file), code=1)
    assert not list(desk.folder.glob(".copy.db.*"))


def test_nothing_is_resumed_where_nothing_was_restored(desk: Desk) -> None:
    assert desk.good("hub", "resume") == "Nothing to resume: the hub knows all that its nodes hold.\n"
    assert "is not paused" in desk.fails("hub", "resume", "n9", "--take", "hub", code=2)


@pytest.mark.parametrize(
    "words",
    [("why", "none"), ("history", "none"), ("diff", "none", "1", "2"), ("rollback", "none"),
     ("remove", "none", "--yes"), ("logs", "none"), ("apps", "none"), ("nodes", "none"), ("node", "dead", "none"),
        ("apps", "../tokens")],
    ids=" ".join,
)  # fmt: skip
def test_what_is_not_there_is_said(desk: Desk, words: tuple[str, ...]) -> None:
    assert "cannot " in desk.fails(*words)


def test_bash_offers_the_names_that_the_hub_has(desk: Desk) -> None:
    desk.joined("reef")
    script = f"""
        PATH="{BIN}:$PATH"
        eval "$(skerry completion bash)"
        COMP_WORDS=(skerry node drain re); COMP_CWORD=3
        _skerry_completion skerry
        echo "${{COMPREPLY[@]}}"
    """
    env = {"PATH": os.environ["PATH"], "SKERRY_CONFIG": str(desk.folder / "operator.toml")}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, check=True)
    assert (done.stdout, done.stderr) == ("reef\n", "")
    desk.good("node", "forget", "reef", "--yes")


PLAIN = (
    '[app.plain]\nrun = ["/bin/sleep", "1d"]\navailability = "best-effort"\n[app.plain.env]\nVALUE = "%s"\n'
)


def sent_as_files(desk: Desk) -> int:
    """How many applies came to the hub as a file: each leaves a record of its key."""
    with closing(sqlite3.connect(f"file:{desk.folder}/hub/hub.db?mode=ro", uri=True)) as store:
        asked = "SELECT count(*) FROM idempotency WHERE route LIKE 'POST /api/apply/file?%'"
        (count,) = store.execute(asked).fetchone()
    assert isinstance(count, int)
    return count


def test_a_plain_apply_is_one_request_to_a_hub_that_is_known(desk: Desk) -> None:
    file, known = desk.folder / "plain.toml", desk.folder / "operator.toml.known"
    known.unlink(missing_ok=True)
    file.write_text(PLAIN % 1)
    before = sent_as_files(desk)
    first = desk.good("apply", str(file), "--no-wait")
    assert (known.exists(), sent_as_files(desk)) == (True, before)
    file.write_text(PLAIN % 2)
    second = desk.good("apply", str(file), "--no-wait", "--reason", "more & better")
    assert sent_as_files(desk) == before + 1
    assert "applied: plain revision 1" in first
    assert "applied: plain revision 2" in second
    assert "more & better" in desk.good("history", "plain")
    file.write_text(PLAIN % 3)
    known.write_bytes(b"damaged")
    third = desk.good("apply", str(file), "--no-wait")
    assert third == second.replace("revision 2", "revision 3")  # one request or three: the same is said
    assert desk.good("apply", str(file), "--no-wait") == "nothing changes: all apps are as the file says\n"
    assert sent_as_files(desk) == before + 2
    desk.good("remove", "plain", "--yes")


def test_what_the_hub_refuses_of_a_file_is_said_as_if_it_had_been_read_here(desk: Desk) -> None:
    desk.good("apps")  # from now on the hub is known
    before, events = sent_as_files(desk), desk.json("events", "-n", "1000")
    bad = desk.folder / "plainly bad.toml"
    bad.write_text(PLAIN.replace('"/bin/sleep", "1d"', "") % 1)
    said = desk.fails("apply", str(bad), code=1)
    assert f"{bad}:2: app.plain.run" in said
    assert "nothing was changed" in said
    assert desk.json("events", "-n", "1000") == events
    assert sent_as_files(desk) == before  # a refusal leaves no record


def test_who_may_not_apply_is_told_so(desk: Desk) -> None:
    token = desk.good("people", "create", "dan", "--role", "viewer").strip()
    text = (desk.folder / "operator.toml").read_text()
    own = next(line for line in text.splitlines() if line.startswith("token"))
    (desk.folder / "dan.toml").write_text(text.replace(own, f'token = "{token}"'))
    (desk.folder / "plain.toml").write_text(PLAIN % 1)
    for _ in range(2):  # the second time it is asked in one request
        refused = desk.run("apply", str(desk.folder / "plain.toml"), config="dan.toml")
        assert (refused.returncode, refused.stdout) == (3, "")
        assert refused.stderr == "skerry: cannot do this as dan: it takes the role operator, not viewer\n"
    desk.good("people", "revoke", "dan", "--yes")
