"""One network trained by several processes: the same figures, one record, one ending."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow.tracking import MlflowClient

from rnnexp.__main__ import run as rnnexp_here
from rnnexp.tracking import load_run

from ..waiting import comes_true

SMALL = ["task.length=10", "cell.hidden_size=8", "task.val_batches=2", "task.test_batches=2"]
SMALL += ["monitor.pictures=never", "tracking.wait=0", "trainer.accelerator=cpu"]
TRAIN = ["-m", "rnnexp", "train"]
TWO = ["trainer.devices=2", "trainer.strategy=ddp"]
PLAIN = ["optimizer=sgd", "optimizer.momentum=0.9", "clip=none", "optimizer.lr=0.01"]
LONG = [*SMALL, "trainer.max_steps=400", "trainer.val_every=50", "model.dropout=0.2"]
LONG += ["model.layers=2", "unroll.window=5", "task=copy_memory"]
TASKS = {
    "whole": ["task=adding"],
    "windows": ["task=copy_memory", "unroll.window=7"],
    "ends": ["task=adding", "unroll.window=4"],
    "text": ["task=char_lm", "trainer.accumulate=2"],
    "left": ["trainer.accumulate=3", "task.train_batches=2"],
    "odd": ["task=digits", "task.batch_size=30"],  # validated on 269 rows
    "few": ["task=digits", "task.order=rows", "task.batch_size=4"],  # the last batch has 1 row
}


def folders(workdir: Path) -> list[Path]:
    found = (workdir / "outputs").rglob("journal.jsonl")
    files = sorted(found, key=lambda file: file.stat().st_mtime)
    return [file.parent for file in files if (file.parent / "config.yaml").is_file()]


def gradients(folder: Path) -> list[torch.Tensor]:
    # SGD's momentum of the first step is the gradient itself.
    kept = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    state = kept["optimizer_states"][0]["state"]
    return [state[index]["momentum_buffer"] for index in sorted(state)]


def outcome(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


def members(workdir: Path) -> list[int]:
    """List the processes that take part in a run in a folder, but for the first of each run."""
    found: list[int] = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (place / "cmdline").read_bytes()
            if b"rnnexp.app.run.member" in words and (place / "cwd").readlink() == workdir:
                found.append(int(place.name))
    return found


def wait_for_steps(workdir: Path, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not any("grad/raw_norm" in (f / "journal.jsonl").read_text() for f in folders(workdir)):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def wait_until_gone(workdir: Path, seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while members(workdir):
        assert time.monotonic() < until, "processes are left"
        time.sleep(0.05)


@pytest.mark.parametrize(
    "kind",
    [
        "whole",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in TASKS if kind != "whole"),
    ],
)
def test_two_processes_compute_what_one_does(
    rnnexp, workdir: Path, store_uri: str, kind: str
) -> None:
    generated = kind not in ("text", "odd", "few")
    words = [w for w in SMALL if generated or not w.startswith("task.")]
    words += [*TASKS[kind], *PLAIN, "trainer.max_steps=1", "trainer.val_every=1"]
    alone = rnnexp("train", *words)
    assert alone.code == 0, alone.err
    shared = rnnexp("train", *words, *TWO)
    assert shared.code == 0, shared.err
    one, two = folders(workdir)
    for expected, found in zip(gradients(one), gradients(two), strict=True):
        assert expected.abs().max() > 0
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    before, after = outcome(one)["metrics"], outcome(two)["metrics"]
    for key in ("val/loss", "test/loss", "grad/largest_raw_norm"):
        assert after[key] == pytest.approx(before[key], rel=1e-5)
    losses = [load_run(folder).metrics["train/loss"] for folder in (one, two)]
    assert losses[1] == [(step, pytest.approx(value, rel=1e-5)) for step, value in losses[0]]


@pytest.mark.slow
def test_omega_is_recorded_as_a_mean_over_the_processes(
    rnnexp, workdir: Path, store_uri: str
) -> None:
    words = [*SMALL, *PLAIN, "cell=elman", "omega=paper", "trainer.max_steps=2"]
    for devices in ([], TWO):
        done = rnnexp("train", *words, "trainer.val_every=2", *devices)
        assert done.code == 0, done.err
    one, two = (dict(load_run(folder).metrics["train/omega"]) for folder in folders(workdir))
    # The paper's flavour is a mean over rows of the batch: that of both halves is the whole's.
    assert two == pytest.approx(one, rel=1e-4)


def test_each_process_takes_other_rows_and_the_first_alone_writes(
    rnnexp, workdir: Path, store_uri: str
) -> None:
    words = [*SMALL, "tracking.wait=50", "trainer.max_steps=60", "trainer.val_every=20"]
    # A ratio that is passed now and then: there are cliffs to be counted.
    words += [
        "monitor.cliff_ratio=1.01",
        "monitor.cliff_deviations=0.1",
        "optimizer.lr=0.3",
        "clip=none",
    ]
    done = rnnexp("train", *words, *TWO)
    assert done.code == 0, done.err
    (folder,) = folders(workdir)
    client = MlflowClient(store_uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    (run,) = client.search_runs(experiments)
    assert run.info.status == "FINISHED"
    count = run.data.metrics["cliffs/count"]
    assert count == len((folder / "cliffs.jsonl").read_text().splitlines()) > 0
    steps = Counter(step for step, _ in load_run(folder).metrics["grad/raw_norm"])
    assert steps == Counter(range(1, 61)), "every step once"
    assert not list(folder.glob(".meeting*"))
    assert "Error" not in (folder / "rank1.log").read_text()


def test_a_process_that_is_killed_fails_the_run(start_copy, workdir: Path, store_uri: str) -> None:
    run = start_copy(*TRAIN, *LONG, *TWO, "trainer.max_steps=1000000", cwd=workdir)
    wait_for_steps(workdir)
    (other,) = members(workdir)
    os.kill(other, signal.SIGUSR2)  # as Slurm warns every process of a job: not the end of this one
    time.sleep(0.5)
    assert members(workdir) == [other]
    assert run.poll() is None
    os.kill(other, signal.SIGKILL)
    assert run.wait(30) == 1
    said = (workdir / "stderr.txt").read_text()
    (folder,) = folders(workdir)
    assert outcome(folder)["status"] == "FAILED"
    words = "Process 1 of the 2 that train this network was killed by SIGKILL"
    assert words in outcome(folder)["error"]
    assert words in said
    assert "Traceback" not in said
    assert load_run(folder).status == "FAILED"
    wait_until_gone(workdir)


def test_a_signal_ends_all_with_a_checkpoint(start_copy, workdir: Path, store_uri: str) -> None:
    words = [*TRAIN, *LONG, *TWO, "trainer.max_steps=1000000"]
    stop(start_copy(*words, cwd=workdir), workdir, signal.SIGINT)


def stop(run: "subprocess.Popen[str]", workdir: Path, signum: signal.Signals) -> Path:
    wait_for_steps(workdir)
    os.killpg(run.pid, signum)  # as a terminal does: all processes hear it
    assert run.wait(60) == 128 + signum, (workdir / "stderr.txt").read_text()
    (folder,) = folders(workdir)
    assert outcome(folder)["status"] == "KILLED"
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] > 0
    wait_until_gone(workdir)
    return folder


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_while_the_others_start(
    start_copy, workdir: Path, store_uri: str, signum: signal.Signals
) -> None:
    run = start_copy(*TRAIN, *LONG, *TWO, cwd=workdir)
    assert comes_true(lambda: list(workdir.rglob(".meeting-*"))), "the first waits for the other"
    os.killpg(run.pid, signum)
    assert run.wait(30) == 128 + signum, (workdir / "stderr.txt").read_text()
    (folder,) = folders(workdir)
    assert outcome(folder)["status"] == "KILLED"
    assert load_run(folder).status == "KILLED"
    assert (folder / "rank1.log").read_text() == ""
    wait_until_gone(workdir)


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_weights(
    rnnexp, start_copy, workdir: Path, store_uri: str
) -> None:
    folder = stop(start_copy(*TRAIN, *LONG, *TWO, cwd=workdir), workdir, signal.SIGTERM)
    resumed = rnnexp("train", f"resume={folder}", timeout=120)
    assert resumed.code == 0, resumed.err
    control = rnnexp("train", *LONG, *TWO, timeout=120)
    assert control.code == 0, control.err
    ends = [
        torch.load(f / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for f in folders(workdir)
    ]
    assert len(ends) == 2
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[1])


def losses(folder: Path) -> list[tuple[int, float]]:
    return load_run(folder).metrics["train/loss"]


# Without anything drawn and at a low rate the figures differ by rounding only.
QUIET = [w for w in LONG if "dropout" not in w and "window" not in w]
QUIET += [*PLAIN, "trainer.strategy=ddp", "tracking.wait=30"]


def goes_on_with(rnnexp, folder: Path, before: int, after: int) -> None:
    assert 0 < len(losses(folder)) < 400
    resumed = rnnexp("train", f"resume={folder}", f"trainer.devices={after}", timeout=120)
    assert resumed.code == 0, resumed.err
    said = f"trainer.devices is {after}, and was {before} when the checkpoint was written"
    assert said in resumed.err
    assert "not bit for bit" in resumed.err
    assert said in load_run(folder).tags["rnnexp.changed_since_checkpoint"]
    assert [step for step, _ in losses(folder)] == list(range(1, 401)), "every step once"


@pytest.mark.slow
def test_another_number_of_devices_goes_on_and_says_so(
    rnnexp, start_copy, workdir: Path, store_uri: str
) -> None:
    run = start_copy(*TRAIN, *QUIET, "trainer.devices=2", cwd=workdir)
    folder = stop(run, workdir, signal.SIGTERM)
    goes_on_with(rnnexp, folder, 2, 1)
    client = MlflowClient(store_uri)
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert run.info.status == "FINISHED"


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_another_number_of_devices_differs_by_rounding(
    rnnexp, start_copy, workdir: Path, store_uri: str, before: int, after: int
) -> None:
    run = start_copy(*TRAIN, *QUIET, f"trainer.devices={before}", cwd=workdir)
    folder = stop(run, workdir, signal.SIGTERM)
    goes_on_with(rnnexp, folder, before, after)
    control = rnnexp("train", *QUIET, "trainer.devices=1", timeout=120)
    assert control.code == 0, control.err
    mine, undisturbed = map(losses, folders(workdir))
    assert mine == [(step, pytest.approx(value, rel=1e-4)) for step, value in undisturbed]


@pytest.mark.slow
def test_the_jobs_of_a_sweep(rnnexp, workdir: Path, store_uri: str) -> None:
    words = [*SMALL, *TWO, "trainer.max_steps=4", "trainer.val_every=2", "sweep.name=mine"]
    done = rnnexp("train", "-m", "seed=0,1", *words, "tracking.wait=50", timeout=120)
    assert done.code == 0, done.err
    found = folders(workdir)
    assert [outcome(folder)["status"] for folder in found] == ["FINISHED", "FINISHED"]
    assert len({outcome(folder)["metrics"]["val/loss"] for folder in found}) == 2
    client = MlflowClient(store_uri)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert len(runs) == 3, "one run per job, and the sweep's"
    wait_until_gone(workdir)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["task.batch_size=5"], "task.batch_size=5 sequences cannot be shared equally"),
        (["hydra.launcher.gpus=[0]"], "takes 2 at once. Name more"),
        (["trainer.strategy=fsdp"], "Use trainer.strategy=ddp"),
    ],
)
def test_what_cannot_be_shared_is_refused(
    workdir: Path, registry, capsys, words: list[str], reason: str
) -> None:
    assert rnnexp_here(["train", "-m", *SMALL, *TWO, *words]) == 2
    assert reason in capsys.readouterr().err
    assert not list(workdir.rglob("journal.jsonl"))
