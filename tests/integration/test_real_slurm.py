"""Sweeps under a real Slurm, where it is installed: preempted, cancelled, with a process lost."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from ..waiting import comes_true, is_alive
from . import queued
from .slurm_here import MISSING, Slurm, running_slurm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"Slurm is not here: no {', '.join(MISSING)}"),
]
WORDS = [*queued.WORDS, "trainer.max_steps=4000", "sweep.name=mine"]
QUEUED = ["-m", "rnnexp", "train", "-m", "hydra/launcher=submitit_slurm", *WORDS]
QUEUED += ["hydra.launcher.poll_seconds=0.5"]


@pytest.fixture
def slurm(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Slurm]:
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm" / "slurm.conf"))
    with ExitStack() as stack:
        yield stack.enter_context(running_slurm(tmp_path / "slurm", getattr(request, "param", 0)))


@pytest.mark.parametrize("slurm", [0, 20], indirect=True, ids=["at once", "with grace"])
def test_preempted_jobs_go_on(
    slurm: Slurm, rnnexp, start_python, workdir: Path, store_uri: str
) -> None:
    driver = start_python(*QUEUED, cwd=workdir)
    sweep = workdir / "outputs" / "sweeps" / "mine"
    assert comes_true(partial(queued.both_train, sweep), 90), (workdir / "stderr.txt").read_text()
    slurm.tell("sbatch", "--partition=high", "--ntasks=2", "--output=/dev/null", "--wrap=sleep 1")
    pending = ["squeue", "-h", "-r", "-p", "low", "-t", "PENDING"]
    assert comes_true(lambda: len(slurm.tell(*pending).splitlines()) == 2)
    assert driver.poll() is None, "it knows that they are not over"

    def ended() -> bool:
        slurm.begin_now()
        return driver.poll() is not None

    assert comes_true(ended, 240)
    assert driver.returncode == 0, (workdir / "stderr.txt").read_text()
    logs = [file.read_text() for file in sweep.glob("*/log.txt")]
    assert [log.count("step 1/4000") for log in logs] == [1, 1], "none began anew"
    assert not any("submitit" in log for log in logs), "of its signals a user need not know"
    control = rnnexp("train", "-m", *WORDS, "sweep.name=control", timeout=120)
    assert control.code == 0, control.err
    queued.check_same_as_alone(sweep, sweep.parent / "control", 4000)


def test_what_a_killed_command_has_left_in_the_queue_is_run_once(
    slurm: Slurm, start_python, workdir: Path, store_uri: str
) -> None:
    words = [*QUEUED, "hydra.launcher.array_parallelism=1"]
    driver = start_python(*words, cwd=workdir)
    sweep = workdir / "outputs" / "sweeps" / "mine"
    assert comes_true(lambda: any(sweep.glob("*/lease.json")), 90), "one runs, the other waits"
    driver.kill()
    driver.wait()
    driver = start_python(*words, cwd=workdir)
    at_once: list[int] = []

    def ended() -> bool:
        held = [file.read_text() for file in sweep.glob("*/lease.json")]
        at_once.append(sum('"pid"' in lease for lease in held))
        return driver.poll() is not None

    assert comes_true(ended, 240)
    said = (workdir / "stderr.txt").read_text()
    assert driver.returncode == 0, said
    assert "1 of an earlier command run, and are watched" in said
    assert max(at_once) == 1
    logs = [file.read_text() for file in sweep.glob("*/log.txt")]
    assert [log.count("step 1/4000") for log in logs] == [1, 1], "each once"


def test_a_job_that_is_cancelled_or_lost_does_not_hold_the_others(
    slurm: Slurm, start_python, workdir: Path, store_uri: str
) -> None:
    driver = start_python(*QUEUED, "trainer.max_steps=100000", cwd=workdir)
    sweep = workdir / "outputs" / "sweeps" / "mine"
    assert comes_true(partial(queued.both_train, sweep), 90), (workdir / "stderr.txt").read_text()
    lost, cancelled = (json.loads(file.read_text())["pid"] for file in sweep.glob("*/lease.json"))
    os.kill(lost, signal.SIGKILL)
    said = workdir / "stderr.txt"
    assert comes_true(lambda: "submitit: the queue says FAILED" in said.read_text(), 90)
    assert "its worker was lost" in said.read_text()
    assert driver.poll() is None
    slurm.tell("scancel", *slurm.tell("squeue", "-h", "-r", "-o", "%i").split())
    assert driver.wait(timeout=60) == 1
    assert not is_alive(cancelled)
    assert "KILLED: stopped by SIGTERM" in said.read_text(), "its state is saved"
    assert queued.both_train(sweep)
