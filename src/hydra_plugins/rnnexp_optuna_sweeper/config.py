"""``hydra/sweeper=optuna`` and its options."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf


@dataclass(kw_only=True)
class OptunaSweeperConf:
    """What is searched, how, and for what; ``hydra.launcher.jobs`` says how many trials at once.

    Args:
        sampler: tpe | cmaes | random | grid; who suggests the values.
        sampler_options: arguments of Optuna's class, such as {n_startup_trials:5}.
        pruner: none | median | hyperband; who ends trials that do badly.
        pruner_options: arguments of Optuna's class; a step of theirs is one report of a trial.
        trials: how many in all; more of them later go on from those that are done.
        seed: of the sampler; null takes another one every time.
        objectives: what a trial is judged by, by name; null leaves it to the program: rnnexp's is
            what weights are kept by, val/loss_best or val/loss_free_best.
        directions: minimize | maximize, for each objective; null minimizes all.
        storage: URL of a database; null keeps a file in the sweep's folder.
        params: dimensions by key, as on the command line, which wins.
    """

    _target_: str = "hydra_plugins.rnnexp_optuna_sweeper.optuna_sweeper.OptunaSweeper"
    sampler: str = "tpe"
    sampler_options: dict[str, Any] = field(default_factory=dict[str, Any])
    pruner: str = "none"
    pruner_options: dict[str, Any] = field(default_factory=dict[str, Any])
    trials: int = 20
    seed: int | None = 0
    objectives: list[str] | None = None
    directions: list[str] | None = None
    storage: str | None = None
    params: dict[str, Any] = field(default_factory=dict[str, Any])


def _node() -> DictConfig:
    # Only Optuna knows which options its classes have: any key may be given, without a plus.
    node = OmegaConf.structured(OptunaSweeperConf)
    for key in ("sampler_options", "pruner_options", "params"):
        OmegaConf.set_struct(node[key], False)
    return node


ConfigStore.instance().store(group="hydra/sweeper", name="optuna", node=_node(), provider="rnnexp")
