"""Sweeps by submitit: its local executor for real, preempted; and what Slurm would be told."""

import json
import os
import signal
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow.tracking import MlflowClient

from hydra_plugins.rnnexp_local_launcher._processes import LOST
from hydra_plugins.rnnexp_local_launcher._remote import Need, need_of
from hydra_plugins.rnnexp_submitit_launcher import _submitted
from hydra_plugins.rnnexp_submitit_launcher._core import (
    Queue,
    make_executor,
)
from hydra_plugins.rnnexp_submitit_launcher._job import Requeued
from hydra_plugins.rnnexp_submitit_launcher._submitted import SubmittedJob
from hydra_plugins.rnnexp_submitit_launcher.config import SubmititLocalConf, SubmititSlurmConf
from rnnexp.__main__ import run as rnnexp_here

from ..queued_job import Job
from ..waiting import comes_true

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
    assert comes_true(lambda: len(list(sweep.glob("*/checkpoints/last.ckpt"))) == 2)
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


SLOW = '''
import time
from pathlib import Path
import torch
from rnnexp.cells import PointwiseCell, register_cell

@register_cell("slow")
class Slow(PointwiseCell):
    """Takes its time where it is told to."""

    num_gates = 1

    def project_input(self, x_BI):
        time.sleep(0.01 if Path("slowly").exists() else 0)
        return super().project_input(x_BI)

    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh((wx_BGH + rh_BGH).squeeze(-2)),)
'''


def points(uri: str, sweep: str) -> dict[str, list[tuple[int, float]]]:
    client = MlflowClient(uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    wanted = f"tags.`rnnexp.sweep.name` = '{sweep}' and tags.`rnnexp.job_key` LIKE '%'"
    (run,) = client.search_runs(experiments, wanted)
    assert run.info.status == "FINISHED"
    keys = [key for key in run.data.metrics if not key.startswith("time/")]
    history = {key: client.get_metric_history(run.info.run_id, key) for key in keys}
    return {key: sorted((m.step, m.value) for m in found) for key, found in history.items()}


@pytest.mark.slow
def test_a_job_that_comes_to_its_time_limit_goes_on(rnnexp, workdir: Path, store_uri: str) -> None:
    (workdir / "mine").mkdir()
    (workdir / "mine" / "slow.py").write_text(SLOW)
    words = [*WORDS[:-1], "plugin_dirs=[mine]", "cell=slow", "unroll.backend=loop"]
    # Told after 18 s, of which its start takes a third or, on a slow machine, nearly all.
    queue = ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=0.5"]
    queue += ["hydra.launcher.signal_delay_s=12", "hydra.launcher.max_num_timeout=5"]
    (workdir / "slowly").touch()
    done = rnnexp("train", "-m", *queue, *words, "sweep.name=mine", timeout=180)
    assert done.code == 0, done.err
    (said,) = (f.read_text() for f in workdir.glob("outputs/sweeps/mine/.submitit/*_log.out"))
    assert said.count("Job has timed out") == said.count("Requeued job") >= 1
    (workdir / "slowly").unlink()
    control = rnnexp("train", "-m", *words, "sweep.name=control", timeout=120)
    assert control.code == 0, control.err
    mine = points(store_uri, "mine")
    assert [step for step, _ in mine["train/loss"]] == list(range(1, 801)), "each step once"
    assert mine == points(store_uri, "control")
    assert len(list(workdir.glob("outputs/sweeps/*/*/COMPLETE"))) == 2


@pytest.mark.slow
def test_an_interrupted_command_ends_its_jobs_with_a_checkpoint(
    start_python, workdir: Path, store_uri: str
) -> None:
    words = ["-m", "rnnexp", "train", "-m", "hydra/launcher=submitit_local", *WORDS[:-1]]
    driver = start_python(*words, "sweep.name=mine", "trainer.max_steps=100000", cwd=workdir)
    sweep = workdir / "outputs" / "sweeps" / "mine"
    assert comes_true(lambda: len(list(sweep.glob("*/checkpoints/last.ckpt"))) == 1)
    os.killpg(driver.pid, signal.SIGINT)  # as a terminal does: all processes hear it
    assert driver.wait(timeout=60) == 130
    said = (workdir / "stderr.txt").read_text()
    assert "Traceback" not in said
    assert "KILLED: stopped by SIGTERM" in said, "once, by the command"
    assert len(list(sweep.glob("*/checkpoints/last.previous.ckpt"))) == 1, "saved when asked"


@pytest.mark.parametrize("reason", ["timed-out too many times", "something else"])
def test_why_submitit_gave_up(workdir: Path, reason: str) -> None:
    executor = make_executor("local", workdir / "queue", asdict(SubmititLocalConf()), ONE)
    giving_up = partial(exec, f"raise RuntimeError('Job not requeued because: {reason}.')")
    job = SubmittedJob(executor.submit(giving_up), workdir / "log.txt")
    codes: list[int | None] = []
    assert comes_true(lambda: codes.append(job.poll()) or codes[-1] is not None)
    assert codes[-1] == 1
    log = (workdir / "log.txt").read_text()
    assert (reason in log) == (reason == "something else")
    assert ("hydra.launcher.max_num_timeout" in log) == (reason != "something else")


@pytest.mark.parametrize(("state", "code"), [("FAILED", LOST), ("OUT_OF_MEMORY", -signal.SIGKILL)])
def test_what_is_known_of_a_job_that_left_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, code: int
) -> None:
    monkeypatch.setattr(_submitted, "LATE_SECONDS", 0.0)
    paths = SimpleNamespace(result_pickle=tmp_path / "none")
    log = tmp_path / "log.txt"
    job = SubmittedJob(SimpleNamespace(done=lambda: True, state=state, paths=paths), log)
    codes = [job.poll(), job.poll()]
    assert codes[-1] == code
    assert f"the queue says {state}" in log.read_text()


ONE = Need(1.0, 0.0, 1)


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


def test_work_that_does_not_listen_yet_can_be_ended(workdir: Path) -> None:
    def importing() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    before = signal.getsignal(signal.SIGTERM)
    assert Requeued(importing, workdir / "log.txt", {})() == 143
    assert signal.getsignal(signal.SIGTERM) == before


SBATCH = """#!/bin/sh
number=17
while [ -e given$number.sh ]; do number=$((number + 1)); done
cp "$1" given$number.sh
echo Submitted batch job $number
"""


@pytest.fixture
def slurm(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an sbatch in the way that keeps what it is given."""
    folder = workdir / "bin"
    folder.mkdir()
    for name in ("sbatch", "srun"):
        (folder / name).write_text(SBATCH)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return workdir / "given17.sh"


def test_what_slurm_is_told(slurm: Path, workdir: Path) -> None:
    options = asdict(SubmititSlurmConf(partition="a100", timeout_min=90, gpus=1, cpus=4, mem_gb=8))
    options |= {"array_parallelism": 3, "setup": ["module load cuda"]}
    executor = make_executor("slurm", workdir / "queue", options, need_of(options, object()))
    with executor.batch():
        jobs = [executor.submit(Requeued(int, workdir / f"{i}.txt", {})) for i in range(5)]
    assert [job.job_id for job in jobs] == [f"17_{i}" for i in range(5)]
    told = slurm.read_text().splitlines()
    wanted = ("partition=a100", "time=90", "gpus-per-node=1", "cpus-per-task=4", "mem=8GB")
    wanted += ("array=0-4%3", "signal=USR2@120", "requeue", "open-mode=append")
    assert {f"#SBATCH --{option}" for option in wanted} <= set(told)
    assert "module load cuda" in told


def test_slurm_is_asked_for_the_devices_of_the_jobs(slurm: Path, workdir: Path) -> None:
    jobs = [Job(0, 2, True), Job(1, 1, False), Job(2, 2, True)]
    queue = Queue(workdir / "queue", "slurm", asdict(SubmititSlurmConf(threads=3)))
    submitted = queue.submit_arrays(jobs)
    assert [submitted[job.log].job.job_id for job in jobs] == ["17_0", "18", "17_1"]
    two, one = ((workdir / f"given{n}.sh").read_text().splitlines() for n in (17, 18))
    own = {"gpus-per-node=2", "cpus-per-task=6", "array=0-1%2", "nodes=1", "ntasks-per-node=1"}
    assert {f"#SBATCH --{option}" for option in own} <= set(two)
    assert "#SBATCH --cpus-per-task=3" in one
    assert not any("gpus" in line for line in one)
    assert any(line.startswith("srun ") and "--cpus-per-task=6 " in line for line in two)


def test_a_machine_without_gpus_may_submit_to_some_that_have(
    slurm: Path, workdir: Path, store_uri: str, registry, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["hydra/launcher=submitit_slurm", "trainer.accelerator=gpu", "trainer.devices=2"]
    words += ["hydra.launcher.additional_parameters={constraint:a100}"]  # no plus
    words += ["trainer.strategy=ddp", "seed=0,1"]
    assert rnnexp_here(["sweep", "plan", *words]) == 0
    assert "2 CPUs and 2 GPUs each" in capsys.readouterr().out
    assert rnnexp_here(["train", "-m", *words, "hydra.launcher.gpus=1"]) == 2
    assert "gpus=1: a job of 2 devices takes a GPU for each" in capsys.readouterr().err
    assert rnnexp_here(["train", *words[:-1]]) == 2, "a single run is not submitted"
    assert "torch finds no such device" in capsys.readouterr().err
    assert list(workdir.rglob("journal.jsonl")) == []


def test_without_slurm_nothing_is_submitted(
    rnnexp, workdir: Path, store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    done = rnnexp("train", "-m", "hydra/launcher=submitit_slurm", *WORDS)
    assert done.code == 2
    assert "there is no sbatch on this machine" in done.err
    assert "Traceback" not in done.err
    assert list(workdir.rglob("journal.jsonl")) == [], "nothing was begun"
