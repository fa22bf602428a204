"""Searches whose trials run on Ray or by submitit: pruned, stopped, gone on with."""

import json
import signal
from collections import Counter
from pathlib import Path

import pytest

from rnnexp.__main__ import run as rnnexp_here

from ..recorded import runs_in
from ..waiting import comes_true

SMALL = ["hydra/sweeper=optuna", "sweep.name=mine", "task.length=10", "cell=gru"]
SMALL += ["cell.hidden_size=8", "trainer.max_steps=300", "trainer.val_every=25"]
SMALL += ["task.val_batches=2", "task.test_batches=2", "tracking.wait=30"]
# The first two run side by side, and neither ends the other: nothing is pruned before two are
# complete.
SMALL += ["optimizer.lr=0.01,0.02,1e-7,1e-6", "hydra.sweeper.sampler=grid"]
SMALL += ["hydra.sweeper.pruner=median", "hydra.sweeper.pruner_options.n_startup_trials=2"]
RAY = ["hydra/launcher=ray", "hydra.launcher.num_cpus=2", "hydra.launcher.num_gpus=0"]
SUBMITIT = ["hydra/launcher=submitit_local", "hydra.launcher.jobs=2"]


def mine(workdir: Path) -> Path:
    return workdir / "outputs" / "sweeps" / "mine"


def states(folder: Path) -> Counter[str]:
    found = json.loads((folder / "search.json").read_text())
    return Counter(trial["state"] for trial in found["trials"])


def statuses(uri: str) -> Counter[tuple[str, bool]]:
    return Counter((run.info.status, "rnnexp.pruned" in run.data.tags) for run in runs_in(uri))


@pytest.mark.slow
def test_a_search_on_ray_is_stopped_and_goes_on(
    rnnexp, start_python, workdir: Path, store_uri: str
) -> None:
    driver = start_python("-m", "rnnexp", "train", "-m", *SMALL, *RAY, cwd=workdir)
    assert comes_true(lambda: list(mine(workdir).glob("*/checkpoints/last.ckpt")), 120)
    driver.send_signal(signal.SIGTERM)
    assert driver.wait(60) == 143
    said = (workdir / "stderr.txt").read_text()
    assert "Go on: the same command again." in said
    assert "absl" not in said, "Ray's own words"
    assert "Traceback" not in said
    done = rnnexp("train", "-m", *SMALL, *RAY, timeout=180)
    assert done.code == 0, done.err
    assert states(mine(workdir)) == {"COMPLETE": 2, "PRUNED": 2}
    assert statuses(store_uri) == {("FINISHED", False): 3, ("KILLED", True): 2}
    logs = [(f / "journal.jsonl").read_text() for f in mine(workdir).iterdir() if f.is_dir()]
    assert any('"continues": true' in log for log in logs), "what was stopped goes on"


@pytest.mark.slow
def test_a_search_by_submitit(rnnexp, workdir: Path, store_uri: str) -> None:
    done = rnnexp("train", "-m", *SMALL, *SUBMITIT, timeout=180)
    assert done.code == 0, done.err
    assert states(mine(workdir)) == {"COMPLETE": 2, "PRUNED": 2}
    assert statuses(store_uri) == {("FINISHED", False): 3, ("KILLED", True): 2}


def test_a_cluster_that_is_not_there_is_said_before_the_first_trial(
    workdir: Path, store_uri: str, registry, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["hydra/launcher=ray", "hydra.launcher.address=127.0.0.1:9"]
    assert rnnexp_here(["train", "-m", *SMALL, *words]) == 2
    assert "nothing answers there" in capsys.readouterr().err
    assert not list(workdir.rglob("journal.jsonl"))
    assert rnnexp_here(["sweep", "plan", *SMALL, *RAY]) == 0
    planned = capsys.readouterr().out
    assert "a search of 4 trials by grid" in planned
    assert "hydra/launcher=ray" in planned
