"""What a search counts: jobs, which trials may share, also where it is refused or killed."""

import re
import shutil
import signal
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from rnnexp.__main__ import run as rnnexp_here

from ..conftest import REPOSITORY
from ..waiting import comes_true

SMALL = ["hydra/sweeper=optuna", "sweep.name=mine", "task.length=5", "cell.hidden_size=8"]
SMALL += ["trainer.max_steps=2", "trainer.val_every=1", "task.batch_size=4"]
SMALL += ["task.val_batches=1", "task.test_batches=1", "hydra.launcher.jobs=1"]
SMALL += ["hydra.sweeper.seed=1"]
LONG = [*SMALL, "trainer.max_steps=300", "trainer.val_every=25"]


def mine(workdir: Path) -> Path:
    return workdir / "outputs" / "sweeps" / "mine"


def parent_in(uri: str) -> Run:
    client = MlflowClient(uri)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    return parent


def status(capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert rnnexp_here(["sweep", "status", "mine"]) == 0
    return capsys.readouterr().out.splitlines()[-1]


def left(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert rnnexp_here(["sweep", "plan", "-m", *words]) == 0
    return capsys.readouterr().out.splitlines()[-1].partition(" left")[0]


@pytest.mark.slow
def test_values_that_are_suggested_again_are_no_jobs(
    rnnexp, workdir: Path, store_uri: str, registry, capsys
) -> None:
    words = [*SMALL, "cell=elman,gru"]
    done = rnnexp("train", "-m", *words, "hydra.sweeper.trials=6")
    assert done.code == 0, done.err
    assert "best of 6 trials" in done.out
    assert "mine: 2 done | " in done.out
    parent = parent_in(store_uri)
    assert parent.info.status == "FINISHED"
    tags = parent.data.tags
    assert tags["rnnexp.sweep.finished"] == "2 of 2"
    assert [tags[f"rnnexp.sweep.{key}"] for key in ("jobs", "done", "left")] == ["2", "2", "0"]
    assert status(capsys).startswith("mine: 2 done | ")
    assert left(capsys, *words, "hydra.sweeper.trials=6") == "0 jobs"
    assert left(capsys, *words, "hydra.sweeper.trials=8") == "2 jobs"


@pytest.mark.slow
def test_trials_of_another_config_count_in_the_same_search(
    rnnexp, workdir: Path, store_uri: str, registry, capsys
) -> None:
    words = [*SMALL, "optimizer.lr=interval(1e-3,1e-2)", "cell=gru"]
    assert rnnexp("train", "-m", *words, "hydra.sweeper.trials=2").code == 0
    again = rnnexp("train", "-m", *words, "hydra.sweeper.trials=3", "trainer.max_steps=3")
    assert again.code == 0, again.err
    assert "mine: 3 done | " in again.out
    assert status(capsys).startswith("mine: 3 done | ")
    parent = parent_in(store_uri)
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["rnnexp.sweep.finished"] == "3 of 3"


@pytest.mark.slow
def test_trials_of_another_source_or_of_a_folder_that_is_gone_do_not_count(
    rnnexp, workdir: Path, store_uri: str
) -> None:
    (workdir / "mine").mkdir()
    plugin = workdir / "mine" / "own.py"
    source = (REPOSITORY / "plugins" / "cells" / "elman.py").read_text()
    plugin.write_text(source.replace('"elman"', '"own"'))
    words = [*SMALL, "plugin_dirs=[mine]", "cell=own", "optimizer.lr=interval(1e-3,1e-2)"]
    words += ["hydra.sweeper.trials=2", "hydra.sweeper.storage=sqlite:///study.db"]
    assert "trials so far" not in rnnexp("train", "-m", *words).err
    plugin.write_text(plugin.read_text() + "\n# edited\n")
    edited = rnnexp("train", "-m", *words)
    assert "mine: its trials so far (2) were made with other contents of cell own" in edited.err
    assert edited.err.count("FINISHED in") == 2
    assert "mine: 2 done | " in edited.out
    shutil.rmtree(workdir / "outputs")
    removed = rnnexp("train", "-m", *words)
    assert "mine: its trials so far (2) were made in a folder that is gone" in removed.err
    assert removed.err.count("FINISHED in") == 2
    assert "trials so far" not in rnnexp("train", "-m", *words).err


@pytest.mark.slow
def test_a_search_that_is_refused_touches_nothing(rnnexp, workdir: Path, store_uri: str) -> None:
    words = [*SMALL, "optimizer.lr=interval(1e-3,1e-2)", "hydra.sweeper.trials=2"]
    done = rnnexp("train", "-m", *words, "cell=elman,gru")
    assert done.code == 0, done.err
    files = ["sweep.json", "journal.jsonl", "study.jsonl", "search.json", "sweep_summary.json"]
    before = [(mine(workdir) / name).read_bytes() for name in files]
    for more, said in (
        (["cell=elman,gru,lstm"], "a list may not"),
        (["cell=elman,gru", "hydra.sweeper.objectives=[test/loss]"], "has begun with the objectiv"),
        (["cell=elman,gru", "hydra.sweeper.sampler_options.x=1"], "has no 'x'"),
    ):
        refused = rnnexp("train", "-m", *words, *more)
        assert refused.code == 2
        assert said in refused.err
        assert refused.out == ""
        assert "trials by" not in refused.err
        assert [(mine(workdir) / name).read_bytes() for name in files] == before
    parent = parent_in(store_uri)
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["rnnexp.sweep.finished"] == "2 of 2"
    assert rnnexp("train", "-m", *words, "cell=elman,gru").code == 0, "nobody holds it"


def test_a_search_that_never_began_leaves_no_study(rnnexp, workdir: Path, store_uri: str) -> None:
    words = [*SMALL, "cell=elman,gru", "hydra.sweeper.sampler_options.x=1"]
    assert rnnexp("train", "-m", *words).code == 2
    assert not list(workdir.rglob("study.jsonl"))
    assert not list(workdir.rglob("sweep.json"))


@pytest.mark.slow
def test_a_killed_search_counts_as_its_status_does(
    rnnexp, start_copy, workdir: Path, store_uri: str, registry, capsys
) -> None:
    words = [*LONG, "cell=gru", "optimizer.lr=interval(1e-3,1e-2)", "hydra.sweeper.trials=9"]
    start = ("-m", "rnnexp", "train", "-m", *words)
    first = start_copy(*start, cwd=workdir)
    assert comes_true(lambda: len(list(mine(workdir).glob("*/COMPLETE"))) >= 2)
    assert_ended_as_status_says(first, capsys)
    token = (mine(workdir) / "lease.json").read_text()
    second = start_copy(*start, cwd=workdir)  # killed before, or while, it looks at what is done
    assert comes_true(lambda: (mine(workdir) / "lease.json").read_text() != token)
    assert_ended_as_status_says(second, capsys)


def assert_ended_as_status_says(driver, capsys) -> None:
    driver.send_signal(signal.SIGTERM)
    out, _ = driver.communicate(timeout=60)
    assert driver.returncode == 143
    found = re.findall(r"^mine: (\d+) done, (\d+) left", out, re.MULTILINE)
    done = int(re.findall(r"^mine: (\d+) done", status(capsys))[0])
    assert all((int(d), int(d) + int(rest)) == (done, 9) for d, rest in found), out
    assert found or "mine: " not in out
