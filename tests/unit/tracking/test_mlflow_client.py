"""A store in a file is made whole, or not at all."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.waiting import comes_true

from rnnexp.tracking import mlflow_client
from rnnexp.tracking.mlflow_client import open_client

MAKE = "import sys; from rnnexp.tracking.mlflow_client import open_client; open_client(sys.argv[1])"


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


@pytest.mark.parametrize("kilobytes", [100, 2500])
def test_kill_amid_its_making_leaves_none(tmp_path: Path, kilobytes: int) -> None:
    uri = f"sqlite:///{tmp_path}/store.db"
    maker = subprocess.Popen([sys.executable, "-c", MAKE, uri], stderr=subprocess.DEVNULL)
    assert comes_true(lambda: _size(tmp_path) > 1000 * kilobytes)
    maker.kill()
    maker.wait()
    assert not (tmp_path / "store.db").exists()
    assert [e.name for e in open_client(uri).search_experiments()] == ["Default"]
    rest = {file.name for file in tmp_path.iterdir()}
    assert rest <= {"store.db", "store.db-wal", "store.db-shm", "store.db.lock"}


def test_a_folder_that_is_renamed_amid_its_making_gets_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    monkeypatch.chdir(here)
    maker = subprocess.Popen(
        [sys.executable, "-c", MAKE, "sqlite:///store.db"], stderr=subprocess.DEVNULL
    )
    assert comes_true(lambda: _size(here) > 500_000)
    here.rename(there)
    assert maker.wait(60) == 0
    uri = f"sqlite:///{there}/store.db"
    assert [e.name for e in open_client(uri).search_experiments()] == ["Default"]


def test_one_that_another_process_holds_is_not_taken_into_use(tmp_path: Path) -> None:
    path = tmp_path / "store.db.new"
    mlflow_client._use_wal(path)
    reader, writer = sqlite3.connect(path), sqlite3.connect(path)
    writer.execute("CREATE TABLE a (b)")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM a").fetchall()
    writer.execute("INSERT INTO a VALUES (1)")
    writer.commit()
    with pytest.raises(sqlite3.OperationalError, match="in use by another process"):
        mlflow_client.fold_wal(path)
    reader.close()
    writer.close()


def test_a_store_is_made_in_a_folder_of_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "both ' and \" :word"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (default,) = open_client(f"sqlite:///{folder}/mlflow.db").search_experiments()
    assert default.artifact_location == f"{folder}/mlruns/0"  # as MLflow itself would have it
