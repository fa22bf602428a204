"""Sweeps by submitit: its local executor for real, preempted; and what Slurm would be told."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from hydra_plugins.rnnexp_submitit_launcher._core import make_executor
from hydra_plugins.rnnexp_submitit_launcher._job import Requeued
from hydra_plugins.rnnexp_submitit_launcher.config import SubmititSlurmConf

WORDS = ["task.length=10", "cell.hidden_size=8", "trainer.max_steps=800", "trainer.val_every=50"]
WORDS += ["task.val_batches=2", "task.test_batches=2", "tracking.wait=30", "model.dropout=0.2"]
WORDS += ["model.layers=2", "seed=0,1"]


def figures(workdir: Path, name: str) -> dict[str, dict[str, float]]:
    files = (workdir / "outputs" / "sweeps" / name).glob("*/summary.json")
    return {file.parent.name: json.loads(file.read_text())["metrics"] for file in files}


@pytest.mark.slow
def test_a_job_that_makes_room_goes_on(rnnexp, start_python, workdir: Path, store_uri: str) -> None:
    queue = ["hydra/launcher=submitit_local", "hydra.launcher.jobs=2"]
    words = ["-m", "rnnexp", "train", "-m", *queue, *WORDS, "sweep.name=mine"]
    driver = start_python(*words, cwd=workdir)
    sweep = workdir / "outputs" / "sweeps" / "mine"
    wait_until(lambda: len(list(sweep.glob("*/checkpoints/last.ckpt"))) == 2)
    for file in sweep.glob("*/lease.json"):
        os.kill(json.loads(file.read_text())["pid"], signal.SIGUSR2)  # as Slurm warns a job
    assert driver.wait(timeout=120) == 0, (workdir / "stderr.txt").read_text()
    said = [file.read_text() for file in sweep.glob(".submitit/*_log.out")]
    assert ["Requeued job" in text for text in said] == [True, True]
    logs = [file.read_text() for file in sweep.glob("*/log.txt")]
    assert [log.count("step 1/800") for log in logs] == [1, 1], "none began anew"
    _is_as_if_nothing_had_happened(rnnexp, workdir, store_uri)


def _is_as_if_nothing_had_happened(rnnexp, workdir: Path, store_uri: str) -> None:
    control = rnnexp("train", "-m", *WORDS, "sweep.name=control", timeout=120)
    assert control.code == 0, control.err
    assert figures(workdir, "mine") == figures(workdir, "control")
    client = MlflowClient(store_uri)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert len(runs) == 6, "one per job, one per sweep"
    assert {run.info.status for run in runs} == {"FINISHED"}


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def test_a_warning_before_the_work_listens_queues_it_again(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda signum, frame: queued.append(signum))

    def importing() -> int:
        os.kill(os.getpid(), signal.SIGUSR2)
        return 0

    try:
        code = Requeued(importing, workdir / "log.txt", {})()
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert (code, queued) == (143, [signal.SIGUSR2])


@pytest.fixture
def slurm(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an sbatch in the way that keeps what it is given."""
    folder = workdir / "bin"
    folder.mkdir()
    for name in ("sbatch", "srun"):
        (folder / name).write_text('#!/bin/sh\ncp "$1" given.sh\necho Submitted batch job 17\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return workdir / "given.sh"


def test_what_slurm_is_told(slurm: Path, workdir: Path) -> None:
    options = asdict(SubmititSlurmConf(partition="a100", timeout_min=90, gpus=1, cpus=4, mem_gb=8))
    options |= {"array_parallelism": 3, "setup": ["module load cuda"]}
    executor = make_executor("slurm", workdir / "queue", options)
    with executor.batch():
        jobs = [executor.submit(Requeued(int, workdir / f"{i}.txt", {})) for i in range(5)]
    assert [job.job_id for job in jobs] == [f"17_{i}" for i in range(5)]
    told = slurm.read_text().splitlines()
    wanted = ("partition=a100", "time=90", "gpus-per-node=1", "cpus-per-task=4", "mem=8GB")
    wanted += ("array=0-4%3", "signal=USR2@120", "requeue", "open-mode=append")
    assert {f"#SBATCH --{option}" for option in wanted} <= set(told)
    assert "module load cuda" in told


def test_without_slurm_nothing_is_submitted(rnnexp, workdir: Path, store_uri: str) -> None:
    done = rnnexp("train", "-m", "hydra/launcher=submitit_slurm", *WORDS)
    assert done.code == 2
    assert "there is no sbatch on this machine" in done.err
    assert "Traceback" not in done.err
    assert list(workdir.rglob("journal.jsonl")) == [], "nothing was begun"
