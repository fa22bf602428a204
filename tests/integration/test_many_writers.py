"""Many processes at once on a store that nobody has used before: no run fails, no point is lost."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from ..waiting import comes_true

WRITER = """
import sys
from pathlib import Path
from rnnexp.tracking import RunHeader, Tracking

uri, steps, names = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
print("ready", flush=True)
sys.stdin.readline()
keeper = Tracking(uri, Path("artifacts") if uri.startswith("sqlite") else None)
for name in names:
    log = keeper.open_run(Path(name), RunHeader(name, "study", {"name": name}, {"a": "b"}))
    for step in range(1, steps + 1):
        log.metrics({"loss": 1.0 / step, "grad/raw_norm": float(step)}, step)
    log.tags({"mlflow.note.content": "whole"})
    log.end("FINISHED")
left = keeper.close(timeout=200)
print("left", len(left), flush=True)
"""
KEYS, STEPS = ("loss", "grad/raw_norm"), 40
Start = Callable[..., "subprocess.Popen[str]"]


def write_at_once(start: Start, folder: Path, uri: str, writers: int, runs: int) -> list[str]:
    """Have all writers begin at the same moment; return what each says at its end."""
    names = [f"run-{number}" for number in range(runs)]
    shares = [names[number::writers] for number in range(writers)]
    words = [("-c", WRITER, uri, str(STEPS), *share) for share in shares]
    processes = [start(*word, cwd=folder) for word in words]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [process.communicate(timeout=250)[0] for process in processes]


def check_all_is_there(uri: str, folder: Path, said: list[str], runs: int) -> None:
    assert set(said) == {"left 0\n"}
    assert (folder / "stderr.txt").read_text() == "", "nothing reaches the user"
    client = MlflowClient(uri)
    experiments = client.search_experiments(filter_string="name = 'study'")
    assert len(experiments) == 1
    found = client.search_runs([experiments[0].experiment_id], max_results=10 * runs)
    assert sorted(run.info.run_name for run in found) == sorted(f"run-{n}" for n in range(runs))
    assert {run.info.status for run in found} == {"FINISHED"}
    assert {run.data.tags["mlflow.note.content"] for run in found} == {"whole"}
    assert all(run.data.params["name"] == run.info.run_name for run in found)
    for run in found:
        for key in KEYS:
            history = client.get_metric_history(run.info.run_id, key)
            assert [m.step for m in history] == list(range(1, STEPS + 1)), "each point once"


@pytest.mark.parametrize("runs", [64, pytest.param(200, marks=pytest.mark.slow)])
def test_sixteen_writers_on_a_fresh_sqlite_file(start_copy, workdir: Path, runs: int) -> None:
    uri = f"sqlite:///{workdir}/mlflow.db"
    said = write_at_once(start_copy, workdir, uri, 16, runs)
    check_all_is_there(uri, workdir, said, runs)


def _programs() -> Path | None:
    on_path = shutil.which("initdb")
    places = [Path(on_path).parent] if on_path else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists()), None)


def _as_somebody() -> list[str]:
    # PostgreSQL refuses to run as root.
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


@pytest.fixture
def postgres() -> Iterator[str]:
    """A PostgreSQL of this test's own, on a socket in a folder that only it may enter."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path must be short
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    data, log = folder / "data", (folder / "log").open("w")
    make = [programs / "initdb", "--auth=trust", "--username=writer", "--no-sync", "-D", data]
    subprocess.run([*_as_somebody(), *make], check=True, stdout=log, stderr=log, cwd=folder)
    options = ["-k", folder, "-c", "listen_addresses=", "-c", "max_connections=60"]
    serve = [*_as_somebody(), programs / "postgres", "-D", data, *options]
    process = subprocess.Popen(serve, stdout=log, stderr=log, cwd=folder)
    try:
        assert comes_true(lambda: (folder / ".s.PGSQL.5432").exists())
        yield f"postgresql+psycopg2://writer@/postgres?host={folder}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        log.close()
        shutil.rmtree(folder)


@pytest.fixture
def server(postgres: str, serve, free_port: int) -> Iterator[str]:
    """An MLflow server on it, which creates its tables."""
    process = serve(postgres, free_port)
    yield f"http://127.0.0.1:{free_port}"
    process.kill()  # before its database ends
    process.wait(30)


@pytest.mark.parametrize(
    ("writers", "runs"),
    [
        (8, 24),
        # The same with a minute more of a server's time.
        pytest.param(16, 200, marks=pytest.mark.slow),
    ],
)
def test_many_writers_on_a_server_with_postgresql(
    start_copy, workdir: Path, server: str, writers: int, runs: int
) -> None:
    said = write_at_once(start_copy, workdir, server, writers, runs)
    check_all_is_there(server, workdir, said, runs)
