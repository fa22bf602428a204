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
from functools import partial
from pathlib import Path
from typing import Any

LIBRARIES = ("rnnexp.app.commands.training", "rnnexp.tracking.mlflow_store", "matplotlib.pyplot")
_SINK = "rnnexp.tracking.sink"
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
    load("rnnexp.tracking.mlflow_store").load_file_stores()
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
    subprocess.Popen = _Popen  # type: ignore[misc]
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


class _Popen(subprocess.Popen[Any]):
    """Starts a sink as a copy of this process too: it would import MLflow for seconds."""

    def __init__(self, args: Any, **options: Any) -> None:
        if list(args) == [sys.executable, "-m", _SINK]:
            options["preexec_fn"] = partial(_become_sink, options.pop("env"))
        super().__init__(args, **options)


def _become_sink(env: Mapping[str, str]) -> None:
    """Run a sink where the new process would begin with another program, and end with it."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(env)
    sys.stdin, sys.stdout, sys.stderr = (open(fd, mode) for fd, mode in enumerate("rww"))  # noqa: SIM115
    code = 1
    try:
        runpy.run_module(_SINK, run_name="__main__", alter_sys=True)
    except SystemExit as ending:
        code = int(ending.code or 0)
    finally:
        os._exit(code)


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
