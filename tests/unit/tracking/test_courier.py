"""A delivering process that is there before it is known what it will deliver."""

import signal
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from rnnexp.tracking import Courier, RunHeader, Tracking
from rnnexp.tracking.courier import LOG_FILE

from ...waiting import comes_true, is_alive
from .study import EXPERIMENT, runs_in

HEADER = RunHeader("a-run", EXPERIMENT, {"lr": "0.1"}, {})
OWNER = """
import os, signal
from rnnexp.tracking import Courier

print(Courier().process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_one_that_was_started_early_delivers(tmp_path: Path, store_uri: str) -> None:
    with Courier() as courier:
        tracking = Tracking(store_uri, None, courier)
        log = tracking.open_run(tmp_path / "run", HEADER)
        log.end("FINISHED")
        assert not courier.is_free
        # The store's address may hold a password, and anyone on the machine can read words.
        words = Path(f"/proc/{courier.process.pid}/cmdline").read_text()
    assert "rnnexp.tracking.sink" in words
    assert store_uri not in words
    assert tracking.close(timeout=60) == []
    assert courier.process.returncode == 0
    assert [run.info.status for run in runs_in(MlflowClient(store_uri))] == ["FINISHED"]
    assert (tmp_path / "run" / LOG_FILE).read_text() == ""


def test_a_folder_outside_ascii_is_delivered_from_whichever_locale(
    tmp_path: Path, store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for name, value in ascii_only.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "nö").mkdir()
    tracking = Tracking(store_uri, tmp_path / "nö" / "mlflow")
    log = tracking.open_run(tmp_path / "nö" / "run", HEADER)
    log.artifact(tmp_path / "nö" / "run" / LOG_FILE)
    log.end("FINISHED")
    assert tracking.close(timeout=120) == []
    assert (tmp_path / "nö" / "run" / LOG_FILE).read_text() == ""


def test_one_that_died_meanwhile_is_replaced(tmp_path: Path, store_uri: str) -> None:
    with Courier() as courier:
        courier.process.kill()
        courier.process.wait(10)
        assert not courier.is_free
        tracking = Tracking(store_uri, None, courier)
        tracking.open_run(tmp_path / "run", HEADER).end("FINISHED")
    assert tracking.close(timeout=60) == []
    assert [run.info.status for run in runs_in(MlflowClient(store_uri))] == ["FINISHED"]


def test_one_that_is_not_needed_ends_with_the_block() -> None:
    with Courier() as courier:
        assert courier.is_free
    assert courier.process.returncode == -signal.SIGKILL


def test_one_whose_owner_dies_first_ends(start_python, tmp_path: Path) -> None:
    owner = start_python("-c", OWNER, cwd=tmp_path)
    waiting = int(owner.stdout.readline())
    owner.wait(10)
    assert comes_true(lambda: not is_alive(waiting), 60)
