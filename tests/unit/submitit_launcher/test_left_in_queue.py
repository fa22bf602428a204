"""What an earlier command, or half a submission, has left in Slurm's queue; what it refuses."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from hydra_plugins.rnnexp_local_launcher._pool import Limits
from hydra_plugins.rnnexp_local_launcher._processes import LauncherError
from hydra_plugins.rnnexp_submitit_launcher import _core
from hydra_plugins.rnnexp_submitit_launcher._core import Queue
from hydra_plugins.rnnexp_submitit_launcher._ledger import FOLDER, Ledger, waiting
from hydra_plugins.rnnexp_submitit_launcher.config import SubmititSlurmConf
from rnnexp.app.sweep.queued import QueueWatch

from ...queued_job import Job

TOOLS = {
    "srun": "",
    "squeue": 'cat "$here/queue"',
    "scancel": 'echo "$@" >>"$here/cancelled"',
    "scontrol": 'echo "MaxArraySize            = 4"',
    "sbatch": """
number=17
while [ -e "$here/given$number" ]; do number=$((number + 1)); done
if [ -e "$here/refuse$number" ]; then cat "$here/refuse$number" >&2; exit 1; fi
cp "$1" "$here/given$number"
if [ -e "$here/amid" ]; then kill -s INT $PPID; fi
echo Submitted batch job $number
""",
}


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Act a Slurm that says what is in files; its largest array has four jobs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in TOOLS.items():
        (folder / name).write_text(f'#!/bin/sh\nhere=$(dirname "$0")\n{text}\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def queue_in(tmp_path: Path, **options: Any) -> Queue:
    return Queue(tmp_path / FOLDER, "slurm", asdict(SubmititSlurmConf(**options)))


def tell(slurm: Path, *lines: str) -> None:
    script = slurm.parent / FOLDER / "17_submission.sh"
    (slurm / "queue").write_text("".join(f"{line}|{script}\n" for line in lines))


def arrays(slurm: Path) -> list[str]:
    lines = [line for f in sorted(slurm.glob("given*")) for line in f.read_text().splitlines()]
    return [line.partition("--array=")[2] for line in lines if "--array" in line]


def test_what_waits_is_queued_anew_and_what_runs_is_watched(
    slurm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [Job(number) for number in range(4)]
    queue_in(tmp_path).submit_arrays(jobs)
    left = ("17_1|RUNNING|None", "17_3|PENDING|Priority", "17_0|CANCELLED|None", "8|RUNNING|None")
    tell(slurm, *left)
    queue = queue_in(tmp_path, array_parallelism=3)  # of the next command
    pool = _core._pool(queue, jobs, None, Limits())
    assert (slurm / "cancelled").read_text().split() == ["17_3"]
    said = capsys.readouterr().err
    assert "1 of an earlier command run, and are watched" in said
    assert "1 of an earlier command wait: queued anew" in said
    assert len(pool.slots) == 3, "what runs counts among those that may"
    ids = [pool.start(job, {}).job.job_id for job in sorted(jobs, key=lambda job: job.number != 1)]
    assert ids == ["17_1", "18", "19", "20"], "one by one, as places get free"
    roomy = _core._pool(queue_in(tmp_path), jobs, None, Limits())
    ids = [roomy.start(job, {}).job.job_id for job in jobs]
    assert ids == ["21_0", "17_1", "21_1", "21_2"]


def test_jobs_of_another_cluster_or_sweep_are_let_alone(slurm: Path, tmp_path: Path) -> None:
    queue_in(tmp_path).submit_arrays([Job(0), Job(1)])
    (slurm / "queue").write_text("17_0|PENDING|None|/elsewhere/17_submission.sh\n")
    assert queue_in(tmp_path).take_over([Job(0), Job(1)]) == {}
    tell(slurm, "17_0|PENDING|None")
    assert queue_in(tmp_path).take_over([Job(1)]) == {}, "the other is not asked for"
    assert not (slurm / "cancelled").exists()


def test_a_queue_that_does_not_answer_is_no_empty_one(slurm: Path, tmp_path: Path) -> None:
    assert queue_in(tmp_path).take_over([Job(0)]) == {}, "nothing was submitted: it is not asked"
    queue_in(tmp_path).submit_arrays([Job(0)])
    with pytest.raises(LauncherError, match=r"squeue fails: .*queue"):
        queue_in(tmp_path).take_over([Job(0)])
    assert waiting(tmp_path) == {}


def test_where_one_array_is_refused_none_is_left(
    slurm: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (slurm / "refuse18").write_text("sbatch: error: no such node\nsbatch: error: Failed.\n")
    with pytest.raises(LauncherError, match="sbatch refuses: no such node; Failed") as error:
        queue_in(tmp_path).submit_arrays([Job(0), Job(1), Job(2, devices=2)])
    assert (slurm / "cancelled").read_text().split() == ["17_0", "17_1"]
    assert "no such node" not in capfd.readouterr().err, "said once, by who catches it"
    assert "hydra.launcher.jobs" not in str(error.value)
    (slurm / "refuse18").write_text("sbatch: error: AssocMaxSubmitJobLimit\n")
    with pytest.raises(LauncherError, match=r"launcher\.jobs=N hands over so many"):
        queue_in(tmp_path).submit(Job(3))


@pytest.mark.usefixtures("ctrl_c")
def test_a_signal_amid_a_submission_leaves_nothing(slurm: Path, tmp_path: Path) -> None:
    (slurm / "amid").touch()
    with pytest.raises(KeyboardInterrupt):
        queue_in(tmp_path).submit_arrays([Job(0), Job(1)])
    assert (slurm / "cancelled").read_text().split() == ["17_0", "17_1"]


def test_more_jobs_than_an_array_may_have_share_what_may_run(slurm: Path, tmp_path: Path) -> None:
    queue = queue_in(tmp_path, array_parallelism=5)
    submitted = queue.submit_arrays([Job(number) for number in range(9)])
    assert arrays(slurm) == ["0-2%1", "0-2%2", "0-2%2"]
    assert submitted[Path("8.txt")].job.job_id == "19_2"
    assert list(Ledger(tmp_path / FOLDER).jobs())[:4] == ["17_0", "17_1", "17_2", "18_0"]


def test_why_jobs_wait_is_said_once(
    slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnnexp.app.sweep.queued.FIRST_SECONDS", 0.0)
    monkeypatch.setattr("rnnexp.app.sweep.queued.AGAIN_SECONDS", 0.0)
    queue_in(tmp_path).submit_arrays([Job(number) for number in range(3)])
    watch = QueueWatch(tmp_path)
    told = {
        ("17_0|RUNNING|None", "17_1|PENDING|JobArrayTaskLimit"): "",
        ("17_0|PENDING|PartitionConfig", "17_1|PENDING|Priority"): "2 jobs wait in the queue: "
        "PartitionConfig, Priority",
        ("17_1|PENDING|Priority",): "",
    }
    for lines, words in told.items():
        tell(slurm, *lines)
        assert watch.look(float("inf")) == words
    assert watch.words == "1 job waits in the queue: Priority"
