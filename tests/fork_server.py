"""The process that is copied for each command: ``python fork_server.py SOCKET``.

It has one thread, so that a copy is whole. It starts what it is told to and, being the parent of
all copies, knows how they have ended.
"""

import ctypes
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

LIBRARIES = (
    "rnnexp.app.commands.training",
    "rnnexp.tracking.mlflow_client",
    "rnnexp.tracking.mlflow_store",
    "matplotlib.pyplot",
    "hydra_plugins.rnnexp_optuna_sweeper._results",
)
LARGEST = 1 << 17
"""Bytes of an order."""
_SINK = ["-m", "rnnexp.tracking.sink"]


def serve(line: socket.socket) -> None:
    """Start copies, and tell their exit codes, until the other side hangs up."""
    while True:
        text, streams, _, _ = socket.recv_fds(line, LARGEST, 3)
        if not text:
            return
        order = json.loads(text)
        if "ended" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["ended"], 0)[1])
        else:
            answer = os.fork()
        if answer == 0 and "words" in order:
            line.close()
            _become(order, streams)
            return
        for stream in streams:
            os.close(stream)
        line.send(json.dumps(answer).encode())


def _become(order: dict[str, Any], streams: Sequence[int]) -> None:
    if order["session"]:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(order["cwd"])
    subprocess.Popen = _Popen  # type: ignore[misc]
    _begin(order["words"], order["env"])
    _run(*order["words"])


def _begin(words: Sequence[str], env: Mapping[str, str]) -> None:
    """Be as a process that has just been started."""
    _be_called([sys.executable, *words])
    for signum in (signal.SIGPIPE, signal.SIGXFSZ):  # subprocess has undone it for another program
        signal.signal(signum, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(env)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115


def _be_called(words: Sequence[str]) -> None:
    """Have /proc show other words than those of the process that was copied, and no more of it."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(fields[45]), int(fields[46])  # where the kernel looks for them
    text = b"\0".join(word.encode() for word in words)[: end - begin - 1]
    ctypes.memmove(begin, text.ljust(end - begin, b"\0"), end - begin)


def _run(first: str, *words: str) -> None:
    """Do what ``python FIRST WORDS`` does."""
    if first == "-m":
        sys.argv, sys.path[0] = list(words), str(Path.cwd())
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv, sys.path[0] = ["-c", *words[1:]], ""
        sys.modules["__main__"] = main = ModuleType("__main__")
        exec(compile(words[0], "<string>", "exec"), main.__dict__)
    else:
        sys.argv, sys.path[0] = [first, *words], str(Path(first).resolve().parent)
        runpy.run_path(first, run_name="__main__")


class _Popen(subprocess.Popen[Any]):
    """Starts a sink as a copy of this process too: it would import MLflow for seconds."""

    def __init__(self, args: Any, **options: Any) -> None:
        if list(args) == [sys.executable, *_SINK]:
            options["preexec_fn"] = partial(_become_sink, options.pop("env"))
        super().__init__(args, **options)


def _become_sink(env: Mapping[str, str]) -> None:
    """Run a sink where the new process would begin with another program, and end with it."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.nice = _refused
    _begin(_SINK, env)
    code = 1
    try:
        _run(*_SINK)
    except SystemExit as ending:
        code = int(ending.code or 0)
    finally:
        os._exit(code)


def _refused(_: int) -> int:
    """Keep a sink's priority: behind all tests of a busy machine, it makes its own test wait."""
    raise PermissionError


def main() -> None:
    from rnnexp.loading import load

    for library in LIBRARIES:
        load(library)
    load("rnnexp.tracking.mlflow_client").load_file_stores()
    load("rnnexp.app.config.compose").prepare([])  # the shipped plugins, and their schemas
    serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
