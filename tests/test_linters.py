"""Each linter is a test: whoever runs the tests has run them too.

What is not bought is here: which package may import which, what a pure module must not touch, and words that
have no place in a public tree.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = {
    name: ROOT / name.removeprefix("skerry_") / name
    for name in ("skerry_protocol", "skerry_netplan", "skerry_agent", "skerry_hub")
}

# Imports point one way. Left out is forbidden.
MAY_IMPORT = {
    "skerry_protocol": set(),
    "skerry_netplan": {"skerry_protocol"},
    "skerry_agent": {"skerry_protocol", "skerry_netplan"},
    "skerry_hub": {"skerry_protocol", "skerry_netplan"},
}

# The moment and the seed are arguments, events come in, actions go out: what is named here, and every module below
# it, reaches nothing of IMPURE, neither itself nor by a module of ours that it imports.
PURE = (
    "skerry_protocol",
    "skerry_netplan.address",
    "skerry_netplan.differ",
    "skerry_netplan.firewall",
    "skerry_netplan.hubside",
    "skerry_netplan.linter",
    "skerry_netplan.lower",
    "skerry_netplan.model",
    "skerry_netplan.names",
    "skerry_netplan.planner",
    "skerry_netplan.show",
    "skerry_netplan.slots",
    "skerry_netplan.state",
    "skerry_agent.assignments.accept",
    "skerry_agent.assignments.sanity",
    "skerry_agent.doctor.judging",
    "skerry_agent.doctor.measured",
    "skerry_agent.fence.verdict",
    "skerry_agent.health.ends",
    "skerry_agent.health.exits",
    "skerry_agent.health.health",
    "skerry_agent.health.steps",
    "skerry_agent.leases.grants",
    "skerry_agent.names.answers",
    "skerry_agent.network.blend",
    "skerry_agent.network.clock",
    "skerry_agent.network.confirm",
    "skerry_agent.network.hubs",
    "skerry_agent.network.pathmtu",
    "skerry_agent.network.paths",
    "skerry_agent.network.sessions",
    "skerry_agent.network.wanted",
    "skerry_agent.network.ways",
    "skerry_agent.reports.outbox",
    "skerry_agent.switch.actions",
    "skerry_agent.switch.overrides",
    "skerry_agent.switch.observed",
    "skerry_agent.switch.plan",
    "skerry_agent.switch.putback",
    "skerry_agent.switch.strangers",
    "skerry_agent.switch.revisions",
    "skerry_agent.switch.target",
    "skerry_agent.units.checkunit",
    "skerry_agent.units.leaseunits",
    "skerry_agent.units.policy",
    "skerry_agent.units.render",
    "skerry_agent.units.sandbox",
    "skerry_agent.units.stoprules",
    "skerry_agent.units.unitfile",
    "skerry_hub.appfile",
    "skerry_hub.beats.beats",
    "skerry_hub.beats.boots",
    "skerry_hub.beats.events",
    "skerry_hub.beats.leases",
    "skerry_hub.beats.silence",
    "skerry_hub.beats.storm",
    "skerry_hub.beats.terms",
    "skerry_hub.cli.judging",
    "skerry_hub.cli.preview",
    "skerry_hub.cli.progress",
    "skerry_hub.joining.tokens",
    "skerry_hub.loops.changes",
    "skerry_hub.loops.claims",
    "skerry_hub.loops.compile",
    "skerry_hub.loops.confirming",
    "skerry_hub.loops.copies",
    "skerry_hub.loops.explain",
    "skerry_hub.loops.fits",
    "skerry_hub.loops.graph",
    "skerry_hub.loops.loops",
    "skerry_hub.loops.networds",
    "skerry_hub.loops.nodeports",
    "skerry_hub.loops.room",
    "skerry_hub.loops.scheduler",
    "skerry_hub.loops.telling",
    "skerry_hub.restoring.gaps",
    "skerry_hub.model",
    "skerry_hub.nats.auth",
    "skerry_hub.nats.nkeys",
    "skerry_hub.network.hints",
    "skerry_hub.network.region",
    "skerry_hub.units",
)
IMPURE = {
    "aiosqlite", "asyncio", "httpx", "litestar", "nats", "pyroute2", "pystemd", "random", "socket", "sqlalchemy",
    "sqlite3", "subprocess", "threading", "time", "uvicorn",
}  # fmt: skip

# Split, so that this file does not find itself.
REGISTRIES = re.compile(
    "|".join(
        ["py" + "pi", "python" + "hosted", "npm" + "js", r"proxy\.golang" + r"\.org", r"crates" + r"\.io"]
    ),
    re.IGNORECASE,
)
OUTSIDE_PATHS = re.compile(r"(?<![\w}.)-])/" + r"work/\w|\.\./" + "shared")
ADDRESS = re.compile("https?" + "://")

SKIPPED_FOLDERS = {".git", ".venv", "__pycache__", "build", "dist"}
KEPT_HIDDEN = {".ci", ".gitignore"}


def files() -> Iterator[Path]:
    """Every file of the tree that is not made by a tool."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(
            name
            for name in folders
            if name not in SKIPPED_FOLDERS and (not name.startswith(".") or name in KEPT_HIDDEN)
        )
        yield from (
            Path(folder, name) for name in sorted(names) if not name.startswith(".") or name in KEPT_HIDDEN
        )


def lines() -> Iterator[tuple[str, str]]:
    """Each line of each text file, with its place as `path:number`."""
    for path in files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            yield f"{path.relative_to(ROOT)}:{number}", line


def run(*argv: str | Path) -> None:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{argv[0]} found something:\n{done.stdout}{done.stderr}", pytrace=False)


def none_of(found: list[str], what: str) -> None:
    if found:
        pytest.fail("\n".join([f"{what}:", *found]), pytrace=False)


def tool(name: str) -> Path:
    return Path(sys.executable).parent / name


def test_ruff_check() -> None:
    run(tool("ruff"), "check", "--quiet", "--output-format", "concise", ".")


def test_ruff_format() -> None:
    run(tool("ruff"), "format", "--check", "--quiet", ".")


# Takes seconds: it reads the types of every library.
def test_mypy() -> None:
    run(tool("mypy"), "--no-error-summary")


def is_shell_script(path: Path) -> bool:
    if path.suffix in {".sh", ".bash"}:
        return True
    with path.open("rb") as file:
        return bool(re.match(rb"#!\s*/(usr/)?bin/(env )?(ba|da)?sh\b", file.readline(80)))


def test_shellcheck() -> None:
    scripts = [path for path in files() if is_shell_script(path)]
    assert ROOT / ".ci/run" in scripts
    shellcheck = shutil.which("shellcheck")
    assert shellcheck, "shellcheck is missing: 'make setup' says how to get it"
    run(shellcheck, "--external-sources", *scripts)


def modules() -> dict[str, Path]:
    """Our modules by their dotted names."""
    found = {}
    for name, folder in SOURCES.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join([name, *(part for part in parts if part != "__init__")])] = path
    return found


def imported(path: Path, module: str) -> Iterator[tuple[int, str]]:
    """The dotted names that a module imports, with line numbers; `from a import b` gives both a and a.b."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield node.lineno, source
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def test_imports_point_one_way() -> None:
    wrong = {
        f"{path.relative_to(ROOT)}:{line}: {package} must not import {top}"
        for module, path in modules().items()
        for line, name in imported(path, module)
        if (package := module.partition(".")[0]) != (top := name.partition(".")[0])
        if top == "tests" or (top.startswith("skerry_") and top not in MAY_IMPORT[package])
    }
    none_of(sorted(wrong), "imports that point the wrong way")


def is_pure(name: str) -> bool:
    return any(name == pure or name.startswith(f"{pure}.") for pure in PURE)


def impurities(start: str, ours: dict[str, Path]) -> Iterator[str]:
    """Where `start`, or what it imports of ours, reaches something impure."""
    seen, waiting = {start}, [start]
    while waiting:
        module = waiting.pop()
        for line, name in imported(ours[module], module):
            if name.partition(".")[0] in IMPURE:
                yield f"{start}: {ours[module].relative_to(ROOT)}:{line} imports {name}"
            elif name in ours and name not in seen:
                seen.add(name)
                waiting.append(name)


def test_pure_modules_touch_nothing() -> None:
    ours = modules()
    found = {place for name in ours if is_pure(name) for place in impurities(name, ours)}
    none_of(sorted(found), "pure modules that reach the world outside")


def test_no_package_registry_is_named() -> None:
    found = [f"{place}: {line.strip()[:120]}" for place, line in lines() if REGISTRIES.search(line)]
    none_of(found, "where packages come from is the machine's business, not the tree's")


def test_locks_name_no_address() -> None:
    found = [
        f"{place}: {line.strip()[:120]}"
        for place, line in lines()
        if ".lock:" in place and ADDRESS.search(line)
    ]
    none_of(found, "a lock file holds versions and hashes alone")


def test_no_path_outside_of_the_tree() -> None:
    found = [f"{place}: {line.strip()[:120]}" for place, line in lines() if OUTSIDE_PATHS.search(line)]
    none_of(found, "paths that exist on one machine only")


def test_every_folder_of_tests_is_a_package() -> None:
    tests = ROOT / "tests"
    bare = {path.parent for path in tests.rglob("*.py") if not (path.parent / "__init__.py").exists()}
    none_of(sorted(str(path.relative_to(ROOT)) for path in bare), "folders of tests without __init__.py")
