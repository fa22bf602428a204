"""Jobs that are composed together come out as each would alone."""

from collections.abc import Iterator, Sequence

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf

from rnnexp.app.config import compose as composing
from rnnexp.app.config.compose import prepare
from rnnexp.app.config.composer import Composer
from rnnexp.errors import ConfigError
from rnnexp.paths import conf_dir


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    prepare([])
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield


class Counting:
    """Composes as Hydra does, and counts."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, overrides: list[str]) -> DictConfig:
        self.times += 1
        return composing._compose(overrides)


SWEEPS: dict[str, tuple[Sequence[str], int]] = {
    "seeds": (("seed=0", "seed=1", "seed=2"), 1),
    "cells and seeds": (("cell=gru seed=0", "cell=lstm seed=0", "cell=gru seed=1"), 2),
    "types": (("optimizer.lr=1", "optimizer.lr=0.5", "optimizer.lr=1e-3"), 1),
    "null": (("threads=2", "threads=null", "threads=3"), 1),
    "words": (("tracking.name=a", "tracking.name='b, c'", "tracking.name=''"), 1),
    "booleans": (("trainer.deterministic=true", "trainer.deterministic=false"), 1),
    "keys in another order": (("seed=0 threads=2", "threads=3 seed=1", "seed=2 threads=2"), 2),
    "a key twice": (("seed=0 seed=1", "seed=3 seed=2"), 1),
    "a list beside": (("plugin_dirs=[a] seed=0", "plugin_dirs=[a] seed=1"), 1),
    "other lists": (("plugin_dirs=[a] seed=0", "plugin_dirs=[b] seed=0"), 2),
    "of Hydra": (("hydra.launcher.jobs=1 seed=0", "hydra.launcher.jobs=1 seed=1"), 1),
    "added": (("+callbacks.grow.at=3 seed=0", "+callbacks.grow.at=3 seed=1"), 1),
    "references": (("cell.hidden_size=${seed} seed=3", "cell.hidden_size=${seed} seed=4"), 1),
    "an experiment": (("experiment=adding_100 seed=3", "experiment=adding_100 seed=4"), 1),
    "a dictionary after": (
        ("task.length=9 task={length:7}", "task.length=8 task={length:7}"),
        2,  # order matters: each alone
    ),
}


@pytest.mark.parametrize("name", SWEEPS)
def test_each_is_as_hydra_composes_it(name: str) -> None:
    jobs, times = SWEEPS[name]
    compose = Counting()
    together = Composer(compose)
    for job in jobs:
        expected = composing._compose(job.split(" ") if "'" not in job else [job])
        found = together.of(job.split(" ") if "'" not in job else [job])
        assert OmegaConf.to_container(found) == OmegaConf.to_container(expected)
        assert OmegaConf.to_container(found, resolve=True) == OmegaConf.to_container(
            expected, resolve=True
        )
    assert compose.times == times


def test_no_config_is_copied_and_no_value_stays_from_another_job() -> None:
    together = Composer(composing._compose)
    first = together.of(["seed=1", "optimizer.lr=0.5"])
    with pytest.raises(ConfigError):
        together.of(["seed=2", "optimizer.lr=0.5", "threads=x"])
    with pytest.raises(ConfigError):
        together.of(["seed=x", "optimizer.lr=0.25"])
    second = together.of(["seed=3", "optimizer.lr=0.125"])
    assert second is first
    assert (second.seed, second.optimizer.lr) == (3, 0.125)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("seed=x", "seed: expected integer, got 'x'."),
        ("model.dropout=high", "model.dropout: expected float, got 'high'."),
    ],
)
def test_a_bad_value_is_refused_as_it_is_alone(bad: str, words: str) -> None:
    compose = Counting()
    together = Composer(compose)
    together.of([bad.replace("=x", "=0").replace("=high", "=1")])
    with pytest.raises(ConfigError, match=words):
        together.of([bad])
    assert compose.times == 2


@pytest.mark.parametrize(
    ("words", "sweeper"),
    [
        ([], "GridSweeper"),
        (["hydra/sweeper=basic"], "GridSweeper"),
        (["experiment=search"], "OptunaSweeper"),
    ],
)
def test_hydra_composes_no_grid_again(words: list[str], sweeper: str) -> None:
    hydra = compose("train", words, return_hydra_config=True).hydra
    made = Plugins.instance()._instantiate(hydra.sweeper)
    assert type(made).__name__ == sweeper
    if sweeper == "GridSweeper":
        made.validate_batch_is_legal([["no.such=key"]])  # does not look at it
