"""Commands in copies of one process that has imported the large libraries already.

An import of torch and Lightning takes longer than most of what the tests ask a command to do. Each
command still is a process of its own, with its own arguments, folder, environment and streams, and
begins where the interpreter would: at the main module.
"""

import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LIBRARIES = ("rnnexp.app.commands.training", "matplotlib.pyplot")
_TO_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


class Forks:
    """A process to be copied, for one command at a time.

    Args:
        environment: in which it imports; a command may have another.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Forks":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate(timeout=10)

    def run(
        self, module: str, *arguments: str, cwd: Path, env: Mapping[str, str], timeout: float
    ) -> tuple[int, str, str]:
        """Run ``python -m MODULE ARGUMENTS``.

        Args:
            module: the main module.
            arguments: of the command.
            cwd: its working folder.
            env: its environment, all of it.
            timeout: seconds.

        Returns:
            Its exit code, negative where a signal has ended it; what it wrote on its two streams.

        Raises:
            subprocess.TimeoutExpired: it took longer, and was killed.
        """
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            order = {"module": module, "arguments": arguments, "cwd": str(cwd), "env": dict(env)}
            code = self._follow({**order, "streams": [os.devnull, str(out), str(err)]}, timeout)
            return code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8")

    def _follow(self, order: dict[str, Any], timeout: float) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({**order, "timeout": timeout}), file=self._process.stdin, flush=True)
        code = json.loads(self._process.stdout.readline())
        if code is None:
            raise subprocess.TimeoutExpired(order["arguments"], timeout)
        return int(code)


def _serve() -> None:
    from rnnexp.loading import load

    for library in LIBRARIES:
        load(library)
    while line := sys.stdin.readline():
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(order)
            return
        print(json.dumps(_code_of(child, order["timeout"])), flush=True)


def _become(order: dict[str, Any]) -> None:
    for stream, name in enumerate(order["streams"]):
        file = os.open(name, os.O_RDONLY if stream == 0 else _TO_WRITE)
        os.dup2(file, stream)
        os.close(file)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv[1:] = order["arguments"]
    sys.path[0] = order["cwd"]
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


def _code_of(child: int, timeout: float) -> int | None:
    """Wait for the end of a process; None if it had to be killed."""
    end = os.pidfd_open(child)
    in_time = select.select([end], [], [], timeout)[0]
    os.close(end)
    if not in_time:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if in_time else None


if __name__ == "__main__":
    _serve()
