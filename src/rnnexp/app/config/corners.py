"""The configs at the edges of what a search goes through: they are checked, not run."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.rnnexp_optuna_sweeper._core import check, check_launcher
from hydra_plugins.rnnexp_optuna_sweeper._settings import Settings
from rnnexp.app.config.build import Plan
from rnnexp.app.config.figures import aim_of, check_objectives
from rnnexp.app.config.launchers import check_devices
from rnnexp.app.config.overrides import parse
from rnnexp.errors import ConfigError


def corners_of(hydra: DictConfig, overrides: list[str]) -> tuple[Settings, list[list[str]]]:
    """Take the first value of everything, and from there each other end of one dimension.

    Args:
        hydra: Hydra's own section of the command's config.
        overrides: the command's.

    Returns:
        How to search, and the overrides of each config.

    Raises:
        ConfigError: what is searched, or how, cannot be.
    """
    own = [o.input_line or "" for o in parse(overrides) if o.is_hydra_override()]
    others = [o for o in overrides if o not in own]
    options: Any = OmegaConf.to_container(hydra.sweeper, resolve=True)
    try:
        check_launcher(str(hydra.launcher.get("_target_")), hydra.launcher)
        settings, fixed, space = check(options, others)
    except HydraException as error:  # a `SearchError`, or params that cannot be parsed
        raise ConfigError(str(error)) from error
    fixed = [*own, *fixed]
    first = [dimension.override(dimension.ends()[0]) for dimension in space]
    corners = [[*fixed, *first]]
    for i, dimension in enumerate(space):
        for value in dimension.ends()[1:]:
            corners.append([*fixed, *first[:i], dimension.override(value), *first[i + 1 :]])
    return settings, corners


def settled(settings: Settings, given: object, plans: Sequence[Plan]) -> Settings:
    """Check what the corners say of a search as a whole; name its objective where none is given.

    Args:
        settings: of the search.
        given: the objectives that the command or a preset names; None for none.
        plans: of the corners.

    Raises:
        ConfigError: no trial will have the objective, none is given for trials of several tasks, or
            trials would need other places.
    """
    if given is None:
        settings = replace(settings, objectives=[_usual_objective(plans)])
    check_devices([plan.values["trainer"] for plan in plans])
    check_objectives(settings.objectives, plans[0])
    return settings


def _usual_objective(plans: Sequence[Plan]) -> str:
    aim = aim_of(plans)
    if aim is None:
        tasks = sorted({str(plan.values["task"]["name"]) for plan in plans})
        raise ConfigError(
            f"The trials are of several tasks ({', '.join(tasks)}), whose losses have different "
            "units: the least is not the best. Search one task at a time, or name what is to "
            "improve, such as hydra.sweeper.objectives=[val/loss_relative]."
        )
    return aim[0]
