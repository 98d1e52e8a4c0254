"""What holds for every verb, and for the program as people start it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from skerry_hub.cli.reference import render
from skerry_hub.cli.verbs import ROWS, cli

ROOT = Path(__file__).parent.parent.parent.parent
SKERRY = Path(sys.executable).parent / "skerry"
HEAVY = (
    "litestar",
    "sqlalchemy",
    "pydantic",
    "nats",
    "uvicorn",
    "alembic",
    "rich",
    "httpx",
    "asyncio",
    "cryptography",
)


# Without the settings of whoever runs the tests.
BARE = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
BARE["SKERRY_CONFIG"] = "/nowhere/operator.toml"


def walk(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        with click.Context(command) as ctx:
            for name in command.list_commands(ctx):
                below = command.get_command(ctx, name)
                assert below is not None
                yield from walk(below, (*path, name))


ALL = dict(walk(cli))
LEAVES = {path: one for path, one in ALL.items() if not isinstance(one, click.Group)}


def skerry(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {**BARE, **environ}
    return subprocess.run(
        [SKERRY, *words], capture_output=True, text=True, env=env, check=False, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_verb_has_help(path: tuple[str, ...]) -> None:
    help_ = ALL[path].help
    assert help_
    assert help_.strip().splitlines()[0].endswith(".")


@pytest.mark.parametrize(
    "path", [path for path in LEAVES if path[0] not in {"lab", "completion", "schema"}], ids=" ".join
)
def test_every_verb_has_json(path: tuple[str, ...]) -> None:
    # Only what prints a fixed text has none.
    assert "--json" in {name for param in LEAVES[path].params for name in param.opts}


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_option_has_help(path: tuple[str, ...]) -> None:
    bare = [p.name for p in LEAVES[path].params if isinstance(p, click.Option) and not p.help]
    assert not bare


@pytest.mark.parametrize("name", ROWS)
def test_the_list_of_verbs_says_what_their_help_says(name: str) -> None:
    help_ = ALL[(name,)].help
    assert help_ is not None
    assert ROWS[name].about == " ".join(help_.split("\n\n")[0].split())


def test_the_reference_is_up_to_date() -> None:
    page = (ROOT / "docs/cli.md").read_text()
    assert page == render(), "write it anew: python -m skerry_hub.cli.reference > docs/cli.md"


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from skerry_hub.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "Commands:" in done.stdout


@pytest.mark.parametrize("verb", [name for name in ROWS if name != "lab"])
def test_no_verb_imports_the_hub(verb: str) -> None:
    module = ROWS[verb].module
    heavy = [name for name in HEAVY if name not in {"asyncio", "cryptography"}]
    script = f"import sys, {module}\nprint([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version() -> None:
    assert skerry("--version").stdout.startswith("skerry 0.")


def test_a_verb_that_is_nearly_right() -> None:
    done = skerry("aply")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "skerry: cannot do that: there is no command 'aply' (did you mean 'apply'?)\n  see 'skerry --help'\n"
    )


def test_no_settings_say_what_to_do() -> None:
    done = skerry("apps")
    assert done.returncode == 1
    assert done.stderr.startswith("skerry: cannot reach a hub: there is no /nowhere/operator.toml\n  copy ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("remove", "web"), "cannot reach a hub"),
        (("token", "create", "--limit", "3"), "cannot limit a token that is used once"),
        (("token", "create", "--expires", "5"), 'write "5s" or "5ms"'),
        (("token", "create", "--label", "site"), "expected KEY=VALUE"),
        (("node", "label", "n1"), "cannot label: no label is given"),
        (("node", "label", "n1", "a=1", "--unset", "a"), "cannot both set and unset a"),
        (("node", "label", "n1", "a=1", "a=2"), "cannot set the label a to both '1' and '2'"),
        (("apply", "/nowhere/app.toml"), "cannot read /nowhere/app.toml: No such file or directory"),
        (("check", "/"), "cannot read /: Is a directory"),
        (("people", "revoke", "bob"), "cannot ask whether to go on: there is no terminal"),
        (("backup", "/nowhere/b"), "cannot"),
        (("hub", "resume", "n1"), "cannot resume without knowing whose word counts"),
        (("diff", "web", "0", "1"), "0 is not in the range"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_asked_wrongly_is_a_line(words: tuple[str, ...], said: str) -> None:
    done = skerry(*words)
    assert done.returncode in {1, 2}
    assert done.stderr.startswith("skerry: cannot ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_check_shows_every_fault_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "apps.toml"
    file.write_text('[app.web]\nrun = "x"\nreplica = 2\n')
    done = skerry("check", str(file))
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"skerry: cannot use {file}: ")
    assert any(line.startswith(f"{file}:3: app.web") and "replicas" in line for line in lines)
    assert len([line for line in lines if line.startswith(f"{file}:")]) >= 3


def test_check_reads_standard_input_and_speaks_json() -> None:
    text = '[app.web]\nrun = ["/bin/true"]\navailability = "best-effort"\n'
    done = subprocess.run(
        [SKERRY, "check", "-", "--json"], input=text, capture_output=True, text=True, env=BARE, check=True
    )
    assert done.stdout == '{\n  "file": "-",\n  "apps": [\n    "web"\n  ],\n  "faults": []\n}\n'


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"'{SKERRY}' schema | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=BARE, check=False)
    assert (done.stdout, done.stderr) == ("{", "")


def test_bash_completes_verbs_and_options() -> None:
    script = f"""
        PATH="{SKERRY.parent}:$PATH"
        eval "$(skerry completion bash)"
        complete_words() {{
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
            _skerry_completion skerry
            echo "${{COMPREPLY[@]}}"
        }}
        complete_words skerry ro
        complete_words skerry node un
        complete_words skerry apply --le
        complete_words skerry why w
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=BARE, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["rollback", "undrain", "--leave-data", ""]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_their_script(shell: str) -> None:
    done = skerry("completion", shell)
    assert done.returncode == 0
    assert "_SKERRY_COMPLETE" in done.stdout
