"""A sweep or a job that another machine has taken for dead: who was only paused gives way."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from rnnexp.app.jobs.lease import FILE, holder_of
from rnnexp.tracking import load_run

from ..waiting import comes_true, processes_in

WORDS = ["-m", "rnnexp", "train", "-m", "seed=0", "sweep.name=mine", "task.length=10"]
WORDS += ["cell.hidden_size=8", "trainer.max_steps=1000000", "trainer.val_every=20"]
WORDS += ["task.val_batches=2", "task.test_batches=2", "tracking.wait=0"]
SWEEP = Path("outputs", "sweeps", "mine")


def begun(workdir: Path) -> Path:
    """Wait for the first checkpoint of the job, and name its folder."""
    assert comes_true(lambda: list((workdir / SWEEP).glob("*/checkpoints/last.ckpt")))
    return next((workdir / SWEEP).glob("*/checkpoints")).parent


def take_over(folder: Path) -> None:
    """Write what a process on another machine does when the beat of the holder is old."""
    values: dict[str, Any] = json.loads((folder / FILE).read_text())
    values |= {"host": "elsewhere", "token": values["token"] + 1, "beat": time.time()}
    (folder / FILE).write_text(json.dumps(values))


def ended(run: "subprocess.Popen[str]", workdir: Path) -> tuple[int, str]:
    return run.wait(30), (workdir / "stderr.txt").read_text()


def test_a_job_that_was_taken_over_ends_and_has_not_failed(
    start_copy, workdir: Path, store_uri: str
) -> None:
    run = start_copy(*WORDS, cwd=workdir)
    folder = begun(workdir)
    take_over(folder)
    code, said = ended(run, workdir)
    assert code == 0, said
    assert f"{folder.name}" in (folder / "log.txt").read_text()
    assert "on elsewhere has taken it over" in (folder / "log.txt").read_text()
    assert "another process runs it" in said
    assert not (folder / "summary.json").exists()
    assert load_run(folder).status not in ("FAILED", "KILLED")
    holder = holder_of(folder)
    assert holder is not None
    assert holder.host == "elsewhere"


@pytest.mark.slow
def test_a_sweep_that_was_taken_over_stops_in_words(
    start_copy, workdir: Path, store_uri: str
) -> None:
    run = start_copy(*WORDS, cwd=workdir)
    folder = begun(workdir)
    take_over(workdir / SWEEP)
    before = (workdir / SWEEP / "journal.jsonl").read_bytes()
    code, said = ended(run, workdir)
    assert code == 1, said
    assert "The sweep mine has been taken over by process" in said
    assert "Traceback" not in said
    assert (workdir / SWEEP / "journal.jsonl").read_bytes() == before
    assert load_run(folder).status == "KILLED", "the job had its own lease, and saved its state"
    assert processes_in(workdir) == []


@pytest.mark.slow
def test_a_thread_gives_signs_of_life_where_a_sweep_has_no_watcher(
    start_copy, workdir: Path, store_uri: str
) -> None:
    run = start_copy(*WORDS, "hydra/launcher=basic", cwd=workdir)
    begun(workdir)
    take_over(workdir / SWEEP)
    code, said = ended(run, workdir)
    assert code == 75, "only the thread that beats ends a command so"
    assert "on elsewhere has taken it over" in said
