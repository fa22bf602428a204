"""A run in an allocation of Slurm with several tasks, which are none of its processes."""

from pathlib import Path

import pytest

from rnnexp.__main__ import run as command
from rnnexp.errors import EXIT_USER
from rnnexp.tracking import load_run

from .earlier_run import WORDS, finished_run

TASK = {"NTASKS": "2", "JOB_ID": "1", "JOB_NAME": "x", "PROCID": "1", "LOCALID": "1", "NODEID": "0"}


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of the second task of two."""
    for name, value in TASK.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    # Lightning reads it as it is imported.
    monkeypatch.setattr("lightning_utilities.core.rank_zero.rank_zero_only.rank", 1)
    return monkeypatch


def test_any_task_may_train_and_record_a_run_of_its_own(
    task: pytest.MonkeyPatch, workdir: Path
) -> None:
    folder = finished_run(workdir / "run", WORDS)
    assert [step for step, _ in load_run(folder).metrics["train/loss"]] == [1, 2]


def test_a_run_that_was_started_once_per_device_is_refused_by_each(
    task: pytest.MonkeyPatch, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task.setenv("SLURM_STEP_NUM_TASKS", "2")
    task.setattr("os.isatty", lambda number: False)
    for rank in ("0", "1"):
        task.setenv("SLURM_PROCID", rank)
        assert command(["train", *WORDS, "trainer.devices=2", "trainer.strategy=ddp"]) == EXIT_USER
        said = capsys.readouterr().err
        assert "trainer.devices=2: srun has started this command 2 times" in said
        assert "srun -n 1 -c CORES" in said
    assert not any(workdir.iterdir())
