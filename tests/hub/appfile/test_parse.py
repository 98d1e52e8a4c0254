"""App files: what is read, and that everything else is told, all at once, in the right place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skerry_hub.appfile import Fault, Faults, Parsed, check_app, format_faults, parse, with_artifacts
from skerry_protocol.app import (
    App,
    Artifact,
    Availability,
    Ha,
    Health,
    OnReturn,
    Overlap,
    Place,
    Resources,
    Restart,
    Volume,
)
from skerry_protocol.ids import AppName
from skerry_protocol.network import AppNetwork, Port, Transport

from .documents import any_apps, sound_apps, toml

EXAMPLE = """\
[app.web]
run = ["./serve", "--port", "8080"]
artifact = "./dist/web.tar.gz"
availability = "ha"
replicas = 2
stop_timeout = "10s"

[app.web.ha]
lost_after = "60s"
overlap = "allow"
on_return = "keep-original"

[app.web.place]
labels = { region = "north", disk = ["ssd", "nvme"], site = { in = ["a"] } }
spread = "site"
nodes = ["n1"]
[app.web.resources]
memory = "256M"
cpu = 0.5
tasks = 100
[app.web.health]
http = "http://127.0.0.1:8080/healthz"
every = "2s"
[app.web.volumes]
data = { path = "/data", empty_elsewhere = true }
[app.web.files]
"motd.txt" = "hello"
[app.web.env]
LANG = "C.UTF-8"
[app.web.sandbox]
allow = ["host-network"]

[app.night]
run = ["/usr/bin/backup"]
availability = "best-effort"
per_node = true
schedule = "Mon..Fri 03:00"
after = ["web"]
user = "backup"
rollback = false
"""


def faults(text: str) -> dict[str, Fault]:
    """Faults by field; the file is one app, `x`, given by the lines of its table."""
    got = parse(f"[app.x]\n{text}", "f.toml")
    assert isinstance(got, Faults)
    return {fault.field: fault for fault in got.faults}


def app(text: str) -> App:
    got = parse(f"[app.x]\n{text}", "f.toml")
    assert isinstance(got, Parsed), format_faults(got)
    return got.apps[0]


BEST = 'run = ["/bin/x"]\navailability = "best-effort"\n'
HA = 'run = ["/bin/x"]\navailability = "ha"\n'


def test_the_example() -> None:
    parsed = parse(EXAMPLE, "f.toml")
    assert isinstance(parsed, Parsed), format_faults(parsed)
    web, night = parsed.apps
    assert web == App(
        name=AppName("web"),
        run=("./serve", "--port", "8080"),
        availability=Availability.HA,
        replicas=2,
        ha=Ha(60_000),
        place=Place({"region": ("north",), "disk": ("ssd", "nvme"), "site": ("a",)}, "site", ("n1",)),  # type: ignore[arg-type]
        resources=Resources(256 << 20, 500, 100),
        health=Health(http="http://127.0.0.1:8080/healthz", every_ms=2_000, timeout_ms=2_000),
        volumes={"data": Volume("/data", empty_elsewhere=True)},
        files={"motd.txt": "hello"},
        env={"LANG": "C.UTF-8"},
        sandbox_allow=("host-network",),
    )
    assert night == App(
        name=AppName("night"),
        run=("/usr/bin/backup",),
        availability=Availability.BEST_EFFORT,
        per_node=True,
        schedule="Mon..Fri 03:00",
        after=(AppName("web"),),
        user="backup",
        rollback=False,
    )
    assert parsed.artifacts == {"web": {"any": "./dist/web.tar.gz"}}


def test_pushed_artifacts_complete_an_app() -> None:
    parsed = parse(EXAMPLE, "f.toml")
    assert isinstance(parsed, Parsed)
    web = parsed.apps[0]
    assert [fault.field for fault in check_app(web)] == ["app.web.run[0]"]
    pushed = with_artifacts(web, {"any": Artifact("0" * 64, 5)})
    assert pushed.artifacts == {"any": Artifact("0" * 64, 5)}
    assert check_app(pushed) == []


def test_artifacts_by_architecture_and_by_digest() -> None:
    got = parse(
        f'[app.x]\n{BEST}artifact = {{ x86_64 = "a.tar", aarch64 = {{ sha256 = "{"0" * 64}", size = 5 }} }}',
        "f",
    )
    assert isinstance(got, Parsed)
    assert got.artifacts == {"x": {"x86_64": "a.tar"}}
    assert got.apps[0].artifacts == {"aarch64": Artifact("0" * 64, 5)}
    digest = app(f'{BEST}artifact = {{ sha256 = "{"0" * 64}", size = 5 }}')
    assert digest.artifacts == {"any": Artifact("0" * 64, 5)}


def test_defaults_that_follow_from_others() -> None:
    forbid = app(HA + 'ha = { lost_after = "60s", overlap = "forbid" }').ha
    assert forbid == Ha(60_000, Overlap.FORBID, OnReturn.KEEP_REPLACEMENT)
    back = app(HA + 'ha = { lost_after = "60s", overlap = "forbid", on_return = "keep-original" }').ha
    assert back == Ha(60_000, Overlap.FORBID, OnReturn.KEEP_ORIGINAL)
    assert app(BEST) == App(AppName("x"), ("/bin/x",), Availability.BEST_EFFORT)
    assert app(BEST + "replicas = 0").replicas == 0
    assert app(BEST + 'schedule = "daily"').restart is Restart.ALWAYS


def test_what_is_said_of_the_network() -> None:
    got = app(
        BEST + "ports = { http = 8080, dns = '53/udp', dns-tcp = 53 }\nreaches = ['db', 'x']\n"
        "publish = { http = 80, dns = 53, dns-tcp = 53 }\negress = false\nreplicas = 2"
    )
    ports = {"http": Port(8080), "dns": Port(53, Transport.UDP), "dns-tcp": Port(53)}
    reaches = (AppName("db"), AppName("x"))
    assert got.network == AppNetwork(ports, reaches, {"http": 80, "dns": 53, "dns-tcp": 53}, egress=False)
    host = app(BEST + "ports = { http = 80 }\nreaches = ['db']\nsandbox = { allow = ['host-network'] }")
    assert host.network == AppNetwork({"http": Port(80)}, (AppName("db"),))


def test_ports_with_a_fault_are_not_held_against_what_is_published() -> None:
    found = faults(BEST + "ports = { http = 0 }\npublish = { http = 80 }")
    assert list(found) == ["app.x.ports.http"]


def test_all_faults_come_at_once_in_the_order_of_lines() -> None:
    got = parse((Path(__file__).parent / "wrong.toml").read_text(), "wrong.toml")
    assert isinstance(got, Faults)
    assert format_faults(got) == (Path(__file__).parent / "wrong.txt").read_text().rstrip("\n")


@pytest.mark.parametrize(
    ("text", "field", "line", "words"),
    [
        (BEST + "replica = 2", "app.x.replica", 4, "did you mean replicas?"),
        (BEST + "nonsense_and_more = 2", "app.x.nonsense_and_more", 4, "known: run, artifact"),
        (BEST + '"a\\u001b" = 2', 'app.x."a\\u001b"', 4, 'the unknown key "a\\u001b"'),
        ('availability = "best-effort"', "app.x.run", 1, "found nothing"),
        ('run = ["/bin/x"]', "app.x.availability", 1, "silence moves nothing"),
        (BEST.replace('["/bin/x"]', '"./a b --c"'), "app.x.run", 2, '["./a", "b", "--c"]'),
        (BEST.replace("/bin/x", "./x"), "app.x.run[0]", 2, "this app has none"),
        (BEST.replace("/bin/x", "/bin/../x"), "app.x.run[0]", 2, "no '..'"),
        (BEST.replace('"/bin/x"', ""), "app.x.run", 2, "an empty list"),
        (BEST + "replicas = 10001", "app.x.replicas", 4, "from 0 to 10000"),
        (BEST + "replicas = 2\nper_node = true", "app.x.replicas", 4, "both replicas and per_node"),
        (HA + 'per_node = true\nha = { lost_after = "60s" }', "app.x.per_node", 4, "per_node with ha"),
        (HA, "app.x.ha", 1, "lost_after"),
        (HA + "ha = {}", "app.x.ha.lost_after", 4, "how long a silence"),
        (BEST + 'ha = { lost_after = "60s" }', "app.x.ha", 4, "silence moves nothing"),
        (HA + 'ha = { lost_after = "20s", overlap = "forbid" }', "app.x.ha.lost_after", 4, 'at least "24s"'),
        (
            HA + 'stop_timeout = "1m"\nha = { lost_after = "1m", overlap = "forbid" }',
            "app.x.ha.lost_after",
            5,
            'stop_timeout = "1m"',
        ),
        (HA + 'ha = { lost_after = "60s" }\nvolumes = { d = "/d" }', "app.x.volumes.d", 5, "empty_elsewhere = true"),
        (BEST + "stop_timeout = 10", "app.x.stop_timeout", 4, 'write "10s" or "10ms"'),
        (BEST + 'stop_timeout = "2h"', "app.x.stop_timeout", 4, "from 1ms to 1h"),
        (BEST + 'stop_timeout = "0s"', "app.x.stop_timeout", 4, "from 1ms to 1h"),
        (BEST + 'resources = { memory = "256MB" }', "app.x.resources.memory", 4, 'write "256M"'),
        (BEST + "resources = { memory = 5 }", "app.x.resources.memory", 4, "from 1M to 1024T"),
        (BEST + "resources = { cpu = 0 }", "app.x.resources.cpu", 4, "from 0.001 to 1024"),
        (BEST + "resources = { cpu = nan }", "app.x.resources.cpu", 4, "found nan"),
        (BEST + "health = { every = '5s' }", "app.x.health", 4, "exactly one of"),
        (BEST + "health = { tcp = 1, exec = ['/x'] }", "app.x.health", 4, "tcp and exec"),
        (BEST + "health = { tcp = 0 }", "app.x.health.tcp", 4, "from 1 to 65535"),
        (BEST + "health = { http = 'ftp://x/' }", "app.x.health.http", 4, "an address such as"),
        (BEST + "health = { http = 'http://' }", "app.x.health.http", 4, "an address such as"),
        (BEST + "health = { http = 'http://:80/' }", "app.x.health.http", 4, "a host"),
        (BEST + "health = { http = 'http://[::1/' }", "app.x.health.http", 4, "a host"),
        (BEST + "health = { http = 'http://a:99999/' }", "app.x.health.http", 4, "a host"),
        (BEST + "health = { http = 'http://u:p@a/' }", "app.x.health.http", 4, "without user"),
        (BEST + "health = { tcp = 1, every = '500ms' }", "app.x.health.every", 4, "from 1s to 1d"),
        (BEST + "health = { tcp = 1, every = '2s', timeout = '3s' }", "app.x.health.timeout", 4, 'every = "2s"'),
        (BEST + "health = { tcp = 1, failures = 0 }", "app.x.health.failures", 4, "from 1 to 1000"),
        (BEST + "health = { exec = ['./x'] }", "app.x.health.exec[0]", 4, "this app has none"),
        (BEST + "schedule = 'daily'\nhealth = { tcp = 1 }", "app.x.health", 5, "health with a schedule"),
        (BEST + "schedule = 'daily'\nrestart = 'always'", "app.x.restart", 5, "with a schedule"),
        (BEST + "schedule = 'dayly'", "app.x.schedule", 4, "systemd.time(7)"),
        (BEST + "place = { labels = { a = 1 } }", "app.x.place.labels.a", 4, "a value"),
        (BEST + "place = { labels = { a = { inn = [] } } }", "app.x.place.labels.a.inn", 4, "did you mean in?"),
        (BEST + "place = { labels = { a = ['b', 'b'] } }", "app.x.place.labels.a[1]", 4, "again"),
        (BEST + "place = { labels = { '' = 'b' } }", 'app.x.place.labels.""', 4, "the key"),
        (BEST + "place = { nodes = 'a' }", "app.x.place.nodes", 4, 'in brackets: ["a"]'),
        (BEST + "place = { nodes = ['A'] }", "app.x.place.nodes[0]", 4, "lower-case"),
        (BEST + "place = 'north'", "app.x.place", 4, "a table with labels"),
        (BEST + "env = { SKERRY_A = '1' }", "app.x.env.SKERRY_A", 4, "Skerry's own"),
        (BEST + "env = { '1A' = '1' }", "app.x.env.1A", 4, "no digit first"),
        (BEST + "env = { A = 1 }", "app.x.env.A", 4, 'in quotes: "1"'),
        (BEST + 'env = { A = "\\u0000" }', "app.x.env.A", 4, "NUL"),
        (BEST + 'env = { A = "\\u0007" }', "app.x.env.A", 4, "control characters"),
        (BEST + "files = { '../a' = 'x' }", 'app.x.files."../a"', 4, "without '..'"),
        (BEST + "files = { '/a' = 'x' }", 'app.x.files."/a"', 4, "relative"),
        (BEST + "files = { a = 'x', 'a/b' = 'y' }", 'app.x.files."a/b"', 4, "not also a file"),
        (BEST + f"files = {{ a = '{'x' * 40_000}', b = '{'y' * 30_000}' }}", "app.x.files", 4, "64K in all"),
        (BEST + f"files = {{ a = '{'x' * 70_000}' }}", "app.x.files.a", 4, "70000 bytes, 65536 at most"),
        (BEST + "volumes = { d = 'data' }", "app.x.volumes.d", 4, "an absolute path"),
        (BEST + "volumes = { d = '/' }", "app.x.volumes.d", 4, "an absolute path"),
        (BEST + "volumes = { d = '/etc/x' }", "app.x.volumes.d", 4, "part of the system"),
        (BEST + "volumes = { d = '/a/../b' }", "app.x.volumes.d", 4, "'..'"),
        (BEST + "volumes = { d = '/a', e = '/a/b' }", "app.x.volumes.e", 4, "apart from that of d"),
        (BEST + "volumes = { 'D' = '/a' }", "app.x.volumes.D", 4, "lower-case"),
        (BEST + "after = ['x']", "app.x.after[0]", 4, "the app itself"),
        (BEST + "after = 'db'", "app.x.after", 4, 'in brackets: ["db"]'),
        (BEST + "user = 'Root!'", "app.x.user", 4, "the name of a user"),
        (BEST + "workdir = 'a'", "app.x.workdir", 4, "this app has none"),
        (BEST + "workdir = '/a/../b'", "app.x.workdir", 4, "'..'"),
        (BEST + "restart = 'sometimes'", "app.x.restart", 4, '"always" or "on-failure" or "no"'),
        (BEST + "rollback = 'no'", "app.x.rollback", 4, "true or false"),
        (BEST + "sandbox = { allow = ['host-networks'] }", "app.x.sandbox.allow[0]", 4, "one of host-network"),
        (BEST + "sandbox = { allow = ['host-path:/etc'] }", "app.x.sandbox.allow[0]", 4, "not in or above"),
        (BEST + "sandbox = { allow = ['user:bob'] }", "app.x.sandbox.allow[0]", 4, 'user = "bob"'),
        (BEST + "ports = 80", "app.x.ports", 4, "a table such as"),
        (BEST + "ports = { a = 0 }", "app.x.ports.a", 4, "a port from 1 to 65535"),
        (BEST + "ports = { a = 65536 }", "app.x.ports.a", 4, "a port from 1 to 65535"),
        (BEST + "ports = { a = '65536/udp' }", "app.x.ports.a", 4, "a port from 1 to 65535"),
        (BEST + "ports = { a = '53/UDP' }", "app.x.ports.a", 4, 'write "53/udp"'),
        (BEST + "ports = { a = '80' }", "app.x.ports.a", 4, "write 80"),
        (BEST + "ports = { a = 'http' }", "app.x.ports.a", 4, '"53/udp"'),
        (BEST + "ports = { a = true }", "app.x.ports.a", 4, "found true"),
        (BEST + "ports = { A = 80 }", "app.x.ports.A", 4, "lower-case"),
        (BEST + "ports = { a = 80, b = '80/tcp' }", "app.x.ports.b", 4, "found 80/tcp, expected a port apart from"),
        (BEST + "reaches = 'db'", "app.x.reaches", 4, 'in brackets: ["db"]'),
        (BEST + "reaches = ['DB']", "app.x.reaches[0]", 4, "lower-case"),
        (BEST + "reaches = ['db', 'db']", "app.x.reaches[1]", 4, "each once"),
        (BEST + "ports = { http = 1 }\npublish = { htp = 80 }", "app.x.publish.htp", 5, "did you mean http?"),
        (BEST + "ports = { http = 1 }\npublish = { dns = 53 }", "app.x.publish.dns", 5, "known: http"),
        (BEST + "publish = { http = 80 }", "app.x.publish.http", 4, "it has no ports"),
        (BEST + "ports = { a = 1 }\npublish = { a = 65536 }", "app.x.publish.a", 5, "from 1 to 65535"),
        (BEST + "ports = { a = 1, b = 2 }\npublish = { a = 80, b = 80 }", "app.x.publish.b", 5, "apart from that of a"),
        (
            BEST + "ports = { a = 1 }\npublish = { a = 80 }\nreplicas = 3\nplace = { nodes = ['m', 'n'] }",
            "app.x.publish",
            5,
            "replicas = 3 on 2 nodes",
        ),
        (
            BEST + "ports = { a = 1 }\npublish = { a = 80 }\nsandbox = { allow = ['host-network'] }",
            "app.x.publish",
            5,
            "it has its node's addresses already",
        ),
        (
            BEST + "egress = false\nsandbox = { allow = ['host-network'] }",
            "app.x.egress",
            4,
            "cannot be shut for one app",
        ),
        (BEST + "egress = 'no'", "app.x.egress", 4, "true or false"),
        (BEST + "artifact = 'sha256:00'", "app.x.artifact", 4, "size = BYTES"),
        (BEST + "artifact = { sha256 = '00', size = 1 }", "app.x.artifact.sha256", 4, "64 lower-case"),
        (BEST + "artifact = { amd64 = 'x' }", "app.x.artifact.amd64", 4, "x86_64"),
        (BEST + "artifact = {}", "app.x.artifact", 4, "an empty table"),
        (BEST + "stop_timeout = 1979-05-27", "app.x.stop_timeout", 4, "the date or time 1979-05-27"),
        (BEST + f"replicas = 0x{'f' * 5000}", "app.x.replicas", 4, "a huge number"),
    ],
    ids=lambda value: str(value)[-40:],
)  # fmt: skip
def test_each_fault_has_its_place_and_words(text: str, field: str, line: int, words: str) -> None:
    found = faults(text)
    assert field in found, found
    assert found[field].line == line
    assert words in str(found[field])


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "at least one app"),
        ("# nothing\n", 1, "at least one app"),
        ("[app]", 1, "at least one app"),
        ("app = 1", 1, "found 1, expected at least one app"),
        ("\n[web]\nrun = []", 2, "[app.web]"),
        ("[apps.web]\nrun = []", 1, "did you mean app?"),
        ("[app.Web]\n" + BEST, 1, "lower-case"),
        ("[app]\nx = 1", 2, "a table with run"),
        ("[app.x]\nrun = ", 2, "no TOML"),
        ("[app.x]\nrun = [\n", 3, "no TOML"),
        ("[app.x]\na = 1\na = 2", 3, "no TOML"),
        ("[app.x]\na = 2026-13-45", 2, "no TOML"),
        ("[app.x]\na = '\x1b'", 2, "no TOML"),
        ("[app.x]\na = " + "[" * 100_000, 2, "deeper nesting"),
        ("[app.x]\n" + "a." * 400_000 + "b = 1", 2, "deeper nesting"),
        ("[app.x]\nreplicas = " + "9" * 5000, None, "cannot be read"),
        ("#" * ((1 << 20) + 1), None, "1 MiB at most"),
        ("\ud800", None, "surrogate"),
    ],
    ids=lambda value: str(value)[:20].encode("ascii", "backslashreplace").decode(),
)  # fmt: skip
def test_what_is_no_app_file(text: str, line: int | None, words: str) -> None:
    got = parse(text, "f.toml")
    assert isinstance(got, Faults)
    assert any(words in str(fault) and (fault.line or None) == line for fault in got.faults), got


def test_bytes_that_are_no_text() -> None:
    got = parse(b"[app.x]\n# \xff", "f.toml")
    assert isinstance(got, Faults)
    assert (got.faults[0].line, got.faults[0].found) == (2, "the byte 0xff")


def test_a_byte_order_mark_and_windows_lines_are_fine() -> None:
    assert isinstance(parse(b"\xef\xbb\xbf" + EXAMPLE.replace("\n", "\r\n").encode(), "f"), Parsed)


def test_circles_of_after_are_told() -> None:
    tables = "".join(
        f'[app.{name}]\n{BEST}after = ["{after}"]\n' for name, after in ("ab", "bc", "ca", "de", "ed", "fa")
    )
    got = parse(tables, "f")
    assert isinstance(got, Faults)
    assert [(fault.field, fault.line) for fault in got.faults] == [("app.a.after", 4), ("app.d.after", 16)]
    assert isinstance(parse(f'[app.x]\n{BEST}after = ["elsewhere"]', "f"), Parsed)


def test_thousands_of_faults_are_counted() -> None:
    got = parse("[app.x]\n" + BEST + "\n".join(f"k{number} = 1" for number in range(30_000)), "f")
    assert isinstance(got, Faults)
    assert len(got.faults) == 501
    assert got.faults[-1].found == "1500 more faults"


def test_a_thousand_apps_and_one() -> None:
    text = "".join(f"[app.a{number}]\n{BEST}" for number in range(1001))
    got = parse(text, "f")
    assert isinstance(got, Faults)
    assert "1001 apps" in str(got.faults[0])
    parsed = parse("".join(f"[app.a{number}]\n{BEST}" for number in range(1000)), "f")
    assert isinstance(parsed, Parsed)
    assert len(parsed.apps) == 1000


@given(st.binary(max_size=300) | st.text(max_size=300))
@example(b"")
@example("app.x.run = [")
@settings(max_examples=300, deadline=None)
def test_anything_is_parsed_or_refused(content: str | bytes) -> None:
    assert isinstance(parse(content, "f"), (Parsed, Faults))


@given(st.data(), any_apps())
@settings(max_examples=300, deadline=None)
def test_any_table_is_parsed_or_refused_with_places(data: st.DataObject, table: dict[str, object]) -> None:
    text = data.draw(toml({"app": {"x": table}}))
    got = parse(text, "f")
    if isinstance(got, Faults):
        assert got.faults
        for fault in got.faults:
            assert fault.line is not None
            assert 1 <= fault.line <= text.count("\n") + 1
            assert str(fault).isprintable()


@given(st.data(), sound_apps())
@settings(max_examples=150, deadline=None)
def test_sound_apps_are_parsed_and_pass_the_check_of_the_wire(
    data: st.DataObject, table: dict[str, object]
) -> None:
    got = parse(data.draw(toml({"app": {"x": table}})), "f")
    assert isinstance(got, Parsed), format_faults(got)
    pushed = {arch: Artifact("0" * 64, 1) for arch in got.artifacts.get(AppName("x"), {})}
    assert check_app(with_artifacts(got.apps[0], pushed)) == []


def test_what_others_call_an_architecture_is_understood_enough_to_say_ours() -> None:
    text = '[app.a]\nrun = ["x"]\navailability = "best-effort"\nartifact = { amd64 = "a.tar", arm64 = "b.tar" }\n'
    found = parse(text, "a.toml")
    assert isinstance(found, Faults)
    assert [fault.hint for fault in found.faults] == ["did you mean x86_64?", "did you mean aarch64?"]
