"""A sweep over what tells no jobs apart is refused: all but one of the values would be dropped."""

from pathlib import Path

import pytest

from rnnexp.app.config.compose import Job, check_jobs, prepare
from rnnexp.errors import ConfigError

SEARCH = ["hydra/sweeper=optuna", "hydra.sweeper.trials=2"]


def jobs(*words: str) -> list[Job]:
    prepare(words)
    return check_jobs(words, multirun=True, config_dir=None)


def refused(*words: str) -> str:
    with pytest.raises(ConfigError) as error:
        jobs(*words)
    return str(error.value)


@pytest.mark.parametrize(
    "word",
    [
        "tracking.experiment=a,b",
        "sweep.name=a,b",
        "trainer.progress=none,bar",
        "plugin_dirs=[],[]",
        "+tracking.experiment=a,b",
        "tracking.wait=range(2)",
        "sweep={name:a},{name:b}",
    ],
)
def test_where_runs_are_kept_cannot_vary(workdir: Path, word: str) -> None:
    said = refused("seed=0,1", word)
    assert said.startswith(f"{word}: where runs are found, kept and shown cannot vary")
    assert "are the same job. Give " in said


@pytest.mark.parametrize("word", ["tracking.experiment=a,b", "tracking.wait=interval(1,2)"])
def test_it_cannot_be_searched_either(workdir: Path, word: str) -> None:
    assert refused(*SEARCH, "cell=elman,gru", word).startswith(word)


@pytest.mark.parametrize(
    "word", ["trainer.devices=1,2", "trainer.devices=range(1,3)", "trainer.accelerator=auto,cpu"]
)
def test_what_trials_run_on_cannot_be_searched(workdir: Path, word: str) -> None:
    said = refused(*SEARCH, "trainer.strategy=ddp", "cell=elman,gru", word)
    key = word.partition("=")[0]
    assert said.startswith(f"{key}={'1,2' if 'devices' in word else 'auto,cpu'}: the trials of a ")
    assert f"Give {key} one value" in said


def test_it_cannot_be_what_a_config_varies(workdir: Path) -> None:
    folder = workdir / "more" / "conf" / "experiment"
    folder.mkdir(parents=True)
    lines = "hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      tracking.experiment: a,b\n"
    (folder / "mine.yaml").write_text(f"# @package _global_\n{lines}")
    words = ["plugin_dirs=[more]", "experiment=mine"]
    assert refused(*words).startswith("tracking.experiment=a,b: ")
    assert len(jobs(*words, "tracking.experiment=c")) == 1


def test_keys_that_are_named_alike_vary(workdir: Path) -> None:
    words = ["trainer.max_steps=1,2", "sweep.name=one", "tracking.experiment='a,b'"]
    assert len(jobs(*words)) == 2
