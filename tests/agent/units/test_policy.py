import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry_agent.units.policy import Faults, Policy, read, refusals
from skerry_protocol.app import Resources
from skerry_protocol.sandbox import asked

from ..builders import an_app

EXAMPLE = """
metered = true
allow = ["host-network", "device"]
[app.web]
allow = ["device:/dev/ttyS0", "host-path:/srv/www", "capability:*"]
[resources]
memory = "512M"
cpu = 1.5
tasks = 100
"""


def test_the_example_is_read() -> None:
    assert read(EXAMPLE) == Policy(
        allow=("host-network", "device"),
        apps={"web": ("device:/dev/ttyS0", "host-path:/srv/www", "capability:*")},
        memory_bytes=512 << 20,
        cpu_milli=1_500,
        tasks=100,
        metered=True,
    )


def test_nothing_written_permits_nothing() -> None:
    assert read("") == Policy()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("allow = 1", "allow is not a list"),
        ('allow = ["root"]', "'root': expected one of"),
        ('allow = ["host-network:x"]', "without a value"),
        ("allow = [1]", "expected text"),
        ("alow = []", "alow is not known here: expected allow, app, metered, resources"),
        ("metered = 1", "metered is 1: expected true or false"),
        ("app = 1", "app is not a table"),
        ('[app."../x"]', "is not the table of an app"),
        ("[app]\nweb = 1", "app.web is not the table"),
        ("[app.web]\ndeny = []", "app.web.deny is not known"),
        ("resources = 3", "resources is not a table"),
        ('[resources]\nmemory = "lots"', "expected a size"),
        ("[resources]\nmemory = 0", "expected a size"),
        ("[resources]\ncpu = true", "expected a number of cores"),
        ("[resources]\ncpu = nan", "expected a number of cores"),
        ("[resources]\ntasks = 0", "expected a count"),
        ("allow = [", "is not TOML"),
    ],
)
def test_every_fault_is_said(text: str, said: str) -> None:
    found = read(text)
    assert isinstance(found, Faults)
    assert said in found.texts[0]


def test_all_faults_come_at_once() -> None:
    found = read('alow = []\nallow = ["x"]\n[resources]\ncpu = 0\ntasks = 0')
    assert isinstance(found, Faults)
    assert len(found.texts) == 4


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_no_text_breaks_it_or_permits_by_accident(text: str) -> None:
    found = read(text)
    assert isinstance(found, Faults) or found.allow == ()


def test_a_refusal_names_the_line_to_add() -> None:
    app = an_app(sandbox_allow=("host-network", "home"))
    (text,) = refusals(Policy(allow=("home",)), app, asked(app))
    assert text.startswith("this node does not permit host-network")
    assert 'add allow = ["host-network"] under [app.web] in /etc/skerry/policy.toml' in text
    assert refusals(Policy(apps={"web": ("host-network", "home")}), app, asked(app)) == ()
    assert len(refusals(Policy(apps={"db": ("host-network", "home")}), app, asked(app))) == 2


def test_a_cap_needs_a_limit_under_it() -> None:
    policy = Policy(memory_bytes=100, cpu_milli=500, tasks=5)
    assert len(refusals(policy, an_app(), ())) == 3
    fits = an_app(resources=Resources(memory_bytes=100, cpu_milli=500, tasks=5))
    assert refusals(policy, fits, ()) == ()
    over = an_app(resources=Resources(memory_bytes=101, cpu_milli=500, tasks=5))
    assert "101 is asked for" in refusals(policy, over, ())[0]
