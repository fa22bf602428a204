"""``rnnexp sync``: a store that does not answer holds up no run of another store."""

import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rnnexp.__main__ import run
from rnnexp.app.commands.sync import main
from rnnexp.files import RUN
from rnnexp.tracking import RunHeader, RunLog, mlflow_store
from rnnexp.tracking.files import read_json
from rnnexp.tracking.mlflow_store import MlflowStore

FOLDERS = ("run1", "run2", "run3")
RETRIES, TIMEOUT = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def _record_runs(*stores: str) -> None:
    for folder, store in zip(FOLDERS, stores, strict=True):
        log = RunLog(Path(folder), RunHeader(folder, "study", {}, {}), store, None)
        log.metrics({"loss": 1.0}, 1)
        log.end("FINISHED")


def test_runs_behind_one_whose_server_is_silent_are_delivered(
    workdir: Path,
    store_uri: str,
    silent: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(RETRIES, "")
    monkeypatch.delenv(RETRIES)  # what the command sets does not outlive the test
    monkeypatch.setenv(TIMEOUT, "1")
    _record_runs(silent, silent, store_uri)
    assert run(["sync", *FOLDERS]) == 2
    assert (os.environ[RETRIES], os.environ[TIMEOUT]) == ("1", "1")
    said = capsys.readouterr()
    one, two, three = said.out.splitlines()
    assert one.startswith(f"run1: not delivered: {silent}: API request to")
    assert two == f"run2: not delivered: {silent} does not answer, see above"
    assert three == "run3: delivered"
    assert "2 of 3 runs are not delivered, for the reasons above. Nothing is lost" in said.err


def test_runs_behind_a_damaged_one_are_delivered(
    workdir: Path, store_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _record_runs(*[store_uri] * 3)
    Path("run1", "journal.jsonl").write_text("garbage\n")
    assert run(["sync", *FOLDERS]) == 2
    one, two, three = capsys.readouterr().out.splitlines()
    assert one.startswith("run1: not delivered: run1/journal.jsonl is damaged at byte 0: ")
    assert (two, three) == ("run2: delivered", "run3: delivered")


def test_a_run_is_named_before_its_store_is_asked(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _record_runs(*["http://127.0.0.1:9"] * 3)
    said: list[str] = []

    def note(folder: Path, uri: str | None, root: Path | None, stores: object) -> str:
        said.append(capsys.readouterr().out)
        return "delivered"

    monkeypatch.setattr("rnnexp.app.commands.sync.sync", note)
    monkeypatch.setenv(RETRIES, "3")
    monkeypatch.setenv(TIMEOUT, "3")
    assert main("sync", list(FOLDERS)) == 0
    assert said == ["run1: ", "delivered\nrun2: ", "delivered\nrun3: "]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done with stores: each is opened, and closed."""
    done: list[str] = []

    class Told(MlflowStore):
        def __init__(self, uri: str) -> None:
            done.append("opened")
            super().__init__(uri)

        def close(self) -> None:
            done.append("closed")
            super().close()

    monkeypatch.setattr(mlflow_store, "MlflowStore", Told)
    return done


@pytest.mark.parametrize("other", [False, True])
def test_a_store_is_opened_once_and_not_for_what_it_has(
    workdir: Path,
    store_uri: str,
    opened: list[str],
    capsys: pytest.CaptureFixture[str],
    other: bool,
) -> None:
    command = ["sync", *FOLDERS, *(["--uri", store_uri] if other else [])]
    _record_runs(*(["sqlite:///none.db"] if other else [store_uri]) * 3)
    assert run(command) == 0
    assert opened == ["opened", "closed"]
    assert run(command) == 0
    assert opened == ["opened", "closed"]
    assert capsys.readouterr().out.splitlines() == [
        *(f"{folder}: delivered" for folder in FOLDERS),
        *(f"{folder}: complete already" for folder in FOLDERS),
    ]


def test_what_a_store_has_lost_of_complete_runs_is_delivered_again(
    workdir: Path, store_uri: str, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _record_runs(*[store_uri] * 3)
    assert run(["sync", *FOLDERS]) == 0
    lost = read_json(Path("run2", RUN))["run_id"]
    with closing(sqlite3.connect(store_uri.removeprefix("sqlite:///"))) as file, file:
        for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
            file.execute(f"DELETE FROM {table} WHERE run_uuid = ?", (lost,))
    capsys.readouterr()
    assert run(["sync", *FOLDERS]) == 0
    assert opened == ["opened", "closed"] * 2
    one, two, three = capsys.readouterr().out.splitlines()
    assert (one, three) == ("run1: complete already", "run3: complete already")
    assert two == "run2: delivered again, for the store no longer had it"


def test_a_project_that_was_moved_is_told_of_once(
    workdir: Path,
    store_uri: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("old").mkdir()
    Path(store_uri.removeprefix("sqlite:///")).rename("old/mlflow.db")
    monkeypatch.chdir("old")
    root, header = Path("outputs", "mlflow").resolve().as_uri(), RunHeader("one", "study", {}, {})
    RunLog(Path("outputs", "one"), header, "sqlite:///mlflow.db", root).end("FINISHED")
    assert run(["sync"]) == 0
    (workdir / "old").rename(workdir / "new")
    monkeypatch.chdir(workdir / "new")
    assert [run(["sync"]), run(["sync"])] == [0, 0]
    said = f"its artifacts with it: from {workdir}/old/outputs/mlflow to {workdir}/new/outputs"
    assert capsys.readouterr().err.count(said) == 1
