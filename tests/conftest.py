"""What several test files share: a folder to work in, the command line, a store, a registry."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from rnnexp.discovery import ENVIRONMENT, load_plugins
from rnnexp.registry import REGISTRY, Registry

from .forks import Forks

collect_ignore = ["example_package"]  # a package of its own, tested where it is installed
settings.register_profile("any machine", deadline=None)  # a slow one is no failure
settings.load_profile("any machine")
REPOSITORY = Path(__file__).resolve().parent.parent
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup has ignored, by children, too


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Finished]
Start = Callable[..., "subprocess.Popen[str]"]


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), **more}


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(1)  # two workers share the machine's cores
    os.environ.update(OMP_NUM_THREADS="1", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # processes that no test needs


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    monkeypatch.delenv("RNNEXP_TRACEBACK", raising=False)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)  # a command that a test called sets it
    yield
    torch.set_flush_denormal(False)  # as a run in this process may leave it
    torch.set_num_threads(1)  # likewise


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working folder of the test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def python() -> Command:
    """Run ``python ARGUMENTS`` on the source of this checkout, in a process of its own."""

    def run(*arguments: str, cwd: Path, timeout: float = 60.0, **env: str) -> Finished:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            env=_environment(env),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def _forks() -> Iterator[Forks | None]:
    if sys.platform != "linux":  # elsewhere a process that has imported torch is not copied
        yield None
        return
    with Forks(_environment({ENVIRONMENT: ""})) as forks:
        yield forks


@pytest.fixture(scope="session")
def copied(python: Command, _forks: Forks | None) -> Command:
    """Run ``python ARGUMENTS`` in a copy of a process that has imported the large libraries."""
    if _forks is None:
        return python

    def run(*arguments: str, cwd: Path, timeout: float = 60.0, **env: str) -> Finished:
        return Finished(*_forks.run(*arguments, cwd=cwd, env=_environment(env), timeout=timeout))

    return run


def _start_anew(words: Sequence[str], **options: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, *words], text=True, **options)


@contextmanager
def _starting(begin: Callable[..., "subprocess.Popen[str]"]) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, cwd: Path, **env: str) -> "subprocess.Popen[str]":
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
        with (cwd / "stderr.txt").open("a") as errors:
            own = _environment(env)
            process = begin(arguments, cwd=cwd, env=own, stderr=errors, **pipes)
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its children hold its pipes, too
        process.communicate(timeout=10)


@pytest.fixture
def start_python() -> Iterator[Start]:
    """Start ``python ARGUMENTS`` and go on; what still runs after the test is killed.

    What it writes on stderr is in the file stderr.txt of its folder.
    """
    with _starting(_start_anew) as start:
        yield start


@pytest.fixture
def start_copy(_forks: Forks | None) -> Iterator[Start]:
    """Do the same in a copy of a process that has imported the large libraries."""
    with _starting(_forks.start if _forks else _start_anew) as start:
        yield start


@pytest.fixture
def rnnexp(copied: Command, workdir: Path) -> Command:
    """Run ``rnnexp ARGUMENTS`` in the test's folder, in a process of its own."""

    def run(*arguments: str, timeout: float = 60.0, **env: str) -> Finished:
        return copied("-m", "rnnexp", *arguments, cwd=workdir, timeout=timeout, **env)

    return run


@pytest.fixture(scope="session")
def _store_template(tmp_path_factory: pytest.TempPathFactory, copied: Command) -> Path:
    # MLflow takes seconds to create its tables: once per worker, then copied.
    folder = tmp_path_factory.mktemp("store")
    make = "from rnnexp.tracking.mlflow_store import MlflowStore; MlflowStore('sqlite:///made.db')"
    done = copied("-c", make, cwd=folder)
    assert done.code == 0, done.err
    connection = sqlite3.connect(folder / "made.db")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return folder / "made.db"


@pytest.fixture
def store_uri(tmp_path: Path, _store_template: Path) -> str:
    """A real sqlite store of MLflow's, empty, which only this test uses."""
    shutil.copy(_store_template, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def wait_for_server() -> Callable[[int], None]:
    """Wait until MLflow answers on a port."""

    def wait(port: int, seconds: float = 60.0) -> None:
        until = time.monotonic() + seconds
        while not _answers(port):
            assert time.monotonic() < until, f"nothing answers on port {port}"
            time.sleep(0.1)

    return wait


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as reply:
            return reply.status == 200
    except OSError:
        return False


@pytest.fixture
def serve(start_copy: Start, wait_for_server, tmp_path: Path) -> Callable[..., Any]:
    """Start what ``mlflow server`` starts, which imports everything twice, over a store."""
    from mlflow.server import constants

    def start(uri: str, port: int) -> "subprocess.Popen[str]":
        told = {
            constants.BACKEND_STORE_URI_ENV_VAR: uri,
            constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
            constants.ARTIFACTS_DESTINATION_ENV_VAR: str(tmp_path / "served"),
            constants.SERVE_ARTIFACTS_ENV_VAR: "true",
            "PYTHONWARNINGS": "ignore",
        }
        folder = tmp_path / "server"
        folder.mkdir(exist_ok=True)
        words = ["mlflow.server.fastapi_app:app", "--host", "127.0.0.1", "--port", str(port)]
        words += ["--log-level", "warning"]  # nobody reads the pipe, which would be full one day
        server = start_copy("-m", "uvicorn", *words, cwd=folder, **told)
        wait_for_server(port)
        return server

    return start


@pytest.fixture
def start_server(serve, store_uri: str) -> Callable[[int], "subprocess.Popen[str]"]:
    """Start an MLflow server on a port, over the test's own store."""
    return partial(serve, store_uri)


@pytest.fixture(scope="session")
def plugins() -> Registry:
    """The registry with every shipped plugin in it."""
    assert load_plugins() == []
    return REGISTRY


@pytest.fixture
def registry(plugins: Registry) -> Iterator[Registry]:
    """The registry with every shipped plugin in it, put back as it was after the test."""
    entries, failures, modules = dict(plugins.entries), list(plugins.failures), set(sys.modules)
    yield plugins
    plugins.entries.clear()
    plugins.entries.update(entries)
    plugins.failures[:] = failures
    for name in set(sys.modules) - modules:
        if name.startswith("rnnexp_plugin_"):
            del sys.modules[name]


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Have SIGINT raise KeyboardInterrupt: a shell's background job ignores it from the start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
