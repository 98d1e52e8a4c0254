"""Commands, each in a process of its own that is forked from one in which all is loaded: loading takes longer than most
of them. What a command does to its process is gone with it.

`Forks(MODULE)` starts `python -m MODULE`, which loads what it needs and then calls `serve`: that reads a line of JSON
for each command and answers with its exit code.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


class Forks:
    """The process that is forked from, once there is a command; one at a time."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._server: subprocess.Popen[str] | None = None

    def _started(self) -> subprocess.Popen[str]:
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, "-m", self._module],
                cwd=ROOT,
                env={
                    **os.environ,
                    "PYTHONHASHSEED": "0",
                },  # else the simulator would have to begin again with that
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        return self._server

    def run(
        self, *words: object, env: Mapping[str, str] | None = None, timeout: float = 600.0
    ) -> subprocess.CompletedProcess[str]:
        """One of the commands that are served, with its words. Raises TimeoutExpired."""
        argv = list(map(str, words))
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "stdout"), Path(folder, "stderr")
            code = self._answer([argv, dict(env or {}), str(Path.cwd()), str(out), str(err)], timeout)
            return subprocess.CompletedProcess(argv, code, out.read_text("utf-8"), err.read_text("utf-8"))

    def _answer(self, question: list[object], timeout: float) -> int:
        server = self._started()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(question) + "\n")
        server.stdin.flush()
        if select.select([server.stdout], [], [], timeout)[0] and (code := server.stdout.readline()):
            return int(code)
        os.killpg(server.pid, signal.SIGKILL)
        self.end()
        raise subprocess.TimeoutExpired(str(question[0]), timeout)

    def end(self) -> None:
        """Nothing runs on."""
        server, self._server = self._server, None
        if server is not None:
            server.communicate()


def serve(commands: Mapping[str, Callable[[], object]]) -> None:
    """Until there is nothing more to read. A command finds its words in sys.argv, and its exit code is what it returns
    or exits with."""
    gc.freeze()  # what is loaded by now is nothing that a command has to look through, or copy
    for line in sys.stdin:
        words, env, cwd, out, err = json.loads(line)
        child = os.fork()
        if not child:
            _command(commands[words[0]], words, env, cwd, out, err)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _command(
    command: Callable[[], object], words: list[str], env: dict[str, str], cwd: str, out: str, err: str
) -> None:
    code: object = 1
    try:
        for number, path in enumerate((os.devnull, out, err)):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), number)
        os.environ.update(env)
        os.chdir(cwd)
        sys.argv = words
        code = command()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 - it is the command's, and whoever asked is to see it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))
