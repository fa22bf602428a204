"""Runs of one sweep have names that tell them apart."""

from pathlib import Path

import pytest

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.jobs.folder import SWEEPS
from rnnexp.app.sweep.definition import default_name
from rnnexp.app.sweep.sweep import Sweep
from rnnexp.tracking import Tracking


def test_what_varies_is_in_the_names(workdir: Path) -> None:
    words = ["cell=elman,gru", "task.length=9", "optimizer.lr=0.1,0.2", "omega=none,paper"]
    prepare(words)
    jobs = check_jobs(words, multirun=True, config_dir=None)
    sweep = Sweep(jobs, words, Tracking("sqlite:///x.db", None), {})
    names = [item.name for item in sweep.items]
    assert len(set(names)) == len(jobs) == 8
    assert names[0] == "adding-elman-clip_norm-s0 optimizer.lr=0.1 omega=none"
    alone = Sweep(jobs[:1], words, Tracking("sqlite:///x.db", None), {})
    assert [item.name for item in alone.items] == ["adding-elman-clip_norm-s0"]
    assert alone.items[0].key == sweep.items[0].key  # the name is no part of what a job is


def test_what_varies_is_named_by_its_keys(workdir: Path) -> None:
    words = [
        "cell=elman,gru",
        "clip=norm",
        "optimizer=adam,sgd",
        "optimizer.lr=0.1,0.2",
        "seed=1,2",
    ]
    prepare(words)
    jobs = check_jobs(words, multirun=True, config_dir=None)
    sweep = Sweep(jobs, words, Tracking("sqlite:///x.db", None), {})
    assert sweep.varied == ("cell.name", "optimizer._target_", "optimizer.lr", "seed")
    alone = Sweep(jobs[:1], words, Tracking("sqlite:///x.db", None), {})
    assert alone.varied == ()


CHOICES = {
    "unroll=full,truncated": ("unroll.window",),
    "scheduler=none,step": ("scheduler._target_",),
    "monitor=default,skip": ("monitor.nonfinite",),
    "omega=none,paper": ("omega.flavour",),
}


@pytest.mark.parametrize("word", CHOICES)
def test_a_choice_is_named_by_the_key_it_shows_in(workdir: Path, word: str) -> None:
    words = ["cell=elman", word]
    prepare(words)
    jobs = check_jobs(words, multirun=True, config_dir=None)
    assert Sweep(jobs, words, Tracking("sqlite:///x.db", None), {}).varied == CHOICES[word]


def test_a_sweep_without_a_name_has_that_of_its_experiment(workdir: Path) -> None:
    words = ["experiment=cliff_surface", "seed=0,1"]
    name, digits = default_name(words), default_name(words)[-8:]
    assert name == f"cliff_surface-{digits}"
    assert default_name([words[0], "seed=0,1,2"]) == name
    assert default_name(["seed=0,1"]).startswith("sweep-")
    assert default_name(["experiment=vanishing,zoo"]).startswith("sweep-")
    (SWEEPS / f"sweep-{digits}").mkdir(parents=True)
    assert default_name(words) == f"sweep-{digits}", "one that was begun under the plain name"
