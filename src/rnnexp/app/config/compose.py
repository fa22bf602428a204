"""Compose and check every config of a command before the first run begins."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from hydra_plugins.rnnexp_optuna_sweeper._settings import Settings
from rnnexp.app.config.build import Plan
from rnnexp.app.config.called import check_called
from rnnexp.app.config.composer import Composer
from rnnexp.app.config.corners import corners_of, settled
from rnnexp.app.config.idle import refuse_idle
from rnnexp.app.config.launchers import (
    LauncherChoice,
    check_folders,
    check_launcher_options,
    check_overrides,
    check_timeout,
    is_here,
)
from rnnexp.app.config.overrides import check_switches, check_varied, parse, unreadable, with_params
from rnnexp.app.config.rehearsal import rehearse
from rnnexp.app.config.searched import check_plugin_dirs, plugin_dirs, search_path
from rnnexp.app.config.store import register_configs
from rnnexp.app.config.told import told
from rnnexp.app.config.untried import IsOver, never_run, plan_of_over
from rnnexp.app.config.validate import plain, validate
from rnnexp.app.config.words import in_words
from rnnexp.discovery import load_plugins
from rnnexp.errors import RnnexpError
from rnnexp.paths import conf_dir
from rnnexp.registry import Failure

CONFIG_NAME = "train"
_SEARCHES = "hydra_plugins.rnnexp_optuna_sweeper."


@dataclass(frozen=True)
class Job:
    """One run that a command asks for, checked.

    Args:
        overrides: of the run.
        plan: what it does.
        alone: whether it is the command's one run, and no job of a sweep.
    """

    overrides: list[str]
    plan: Plan
    alone: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class Corner(Job):
    """A config at an edge of what is searched: checked, not run."""

    settings: Settings


def prepare(overrides: Sequence[str], sweep: bool = False) -> list[Failure]:
    """Load the plugins a command line names and teach Hydra the schema.

    Args:
        overrides: as on the command line.
        sweep: whether many jobs depend on the plugins: a copy of this process imports them first.

    Returns:
        The plugin files that could not be loaded.

    Raises:
        PluginError: a folder does not exist, or a plugin ended the copy.
    """
    folders = plugin_dirs(overrides)
    if sweep:
        rehearse(folders)
    failures = load_plugins(folders)
    OmegaConf.register_new_resolver("rnnexp.unique", lambda: _UNIQUE, replace=True)
    register_configs()
    return failures


def check_jobs(
    overrides: Sequence[str],
    multirun: bool,
    config_dir: str | None,
    earlier: Sequence[str] = (),
    is_over: IsOver = never_run,
) -> list[Job]:
    """Compose and validate every run of a command.

    Args:
        overrides: as on the command line.
        multirun: whether ``-m`` was given; a config may ask for it by ``hydra.mode`` too.
        config_dir: a further folder of configs, Hydra's ``--config-dir``.
        earlier: those of the overrides that are another command's, whose run is resumed: they may
            have lost their effect.
        is_over: tells which jobs of a sweep are over, whose configs need not be tried.

    Raises:
        UserError: the first run that cannot work, in words.
    """
    jobs = _checked([*search_path(overrides, config_dir), *overrides], multirun, is_over)
    refuse_idle(([o for o in job.overrides if o not in earlier], job.plan) for job in jobs)
    return jobs


def _checked(overrides: list[str], multirun: bool, is_over: IsOver) -> list[Job]:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        whole = _composed_with_hydra(overrides)
        check_switches(parse(with_params(whole["hydra"].sweeper.get("params"), overrides)), whole)
        if not (multirun or str(whole["hydra"].mode or "").endswith("MULTIRUN")):
            plan = _check(overrides, lambda job: _alone(whole, job))
            return [Job(overrides, plan, alone=True)]
        check_folders(whole["hydra"], overrides)
        settings, launcher, found = _expand(whole["hydra"], overrides)
        composed = Composer(_compose).of if len(found) > 1 else _compose
        if settings is not None:
            plans = [_check(job, composed) for job in told(found)]
            settings = settled(settings, whole["hydra"].sweeper.objectives, plans)
            pairs = zip(found, plans, strict=True)
            jobs: list[Job] = [Corner(job, plan, settings) for job, plan in pairs]
        else:
            here, jobs = is_here(launcher), list[Job]()
            for job in told(found):  # the first is tried for what all of them have in common
                jobs.append(Job(job, _check(job, composed, here, is_over if jobs else never_run)))
        for job in jobs:
            check_timeout(launcher, job.plan.values["sweep"]["timeout"])
        return jobs


def compose_trial(overrides: list[str]) -> Job:
    """Compose and validate a trial of a search, while Hydra runs.

    Raises:
        UserError: it cannot work, in words.
    """
    return Job(overrides, _check(overrides, _compose))


def launcher_of(overrides: Sequence[str], config_dir: str | None) -> LauncherChoice:
    """Compose what a command says of its launcher.

    Args:
        overrides: as on the command line.
        config_dir: a further folder of configs, Hydra's ``--config-dir``.
    """
    hydra = hydra_of(overrides, config_dir)
    options: Any = OmegaConf.to_container(hydra.launcher, resolve=True)
    return LauncherChoice(str(hydra.runtime.choices["hydra/launcher"]), options)


def hydra_of(overrides: Sequence[str], config_dir: str | None) -> DictConfig:
    """Compose Hydra's own section for a command, and check what it would call.

    Args:
        overrides: as on the command line.
        config_dir: a further folder of configs, Hydra's ``--config-dir``.
    """
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return _composed_with_hydra([*search_path(overrides, config_dir), *overrides])["hydra"]


_Expanded = tuple[Settings | None, DictConfig, list[list[str]]]
"""How to search, the launcher of a sweep, and the overrides of its jobs."""


def _composed_with_hydra(overrides: list[str]) -> DictConfig:
    parsed = parse(overrides)
    check_overrides(parsed)
    single = [o.input_line or "" for o in parsed if not o.is_sweep_override()]
    return _compose(single, with_hydra=True)


def _alone(whole: DictConfig, overrides: list[str]) -> DictConfig:
    # To compose it again takes a tenth of the start of a command. But where values to sweep over
    # were left out of it, Hydra is to say what is wrong with them.
    if any(o.is_sweep_override() for o in parse(overrides)):
        return _compose(overrides)
    return _without_hydra(whole)


def _expand(hydra: DictConfig, overrides: list[str]) -> _Expanded:
    check_launcher_options(hydra.launcher)
    merged = with_params(hydra.sweeper.get("params"), overrides)
    check_varied(parse(merged))
    if str(hydra.sweeper.get("_target_")).startswith(_SEARCHES):
        settings, corners = corners_of(hydra, overrides)
        return settings, hydra.launcher, corners
    loader = GlobalHydra.instance().config_loader()  # for glob(*), which asks for the choices
    batches = BasicSweeper.split_arguments(parse(merged, loader), None)
    return None, hydra.launcher, [list(job) for batch in batches for job in batch]


def _check(
    overrides: list[str],
    composed: Callable[[list[str]], DictConfig],
    here: bool = True,
    is_over: IsOver = never_run,
) -> Plan:
    values = plain(composed(overrides))
    plan = plan_of_over(values) if is_over(values) else validate(values, here=here)
    check_plugin_dirs(plan, overrides)
    return plan


def _compose(overrides: list[str], with_hydra: bool = False) -> DictConfig:
    try:
        config = compose(CONFIG_NAME, overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides) from error
    except (ValueError, TypeError) as error:  # Hydra's parser lets some malformed overrides through
        raise unreadable(overrides, error) from error
    check_called(config["hydra"])
    return config if with_hydra else _without_hydra(config)


def _without_hydra(config: DictConfig) -> DictConfig:
    with open_dict(config):
        del config["hydra"]
    return config


def explain(error: Exception, overrides: Sequence[str]) -> RnnexpError:
    """Put an error of Hydra's composition into this project's words, while Hydra is initialized."""
    return in_words(error, overrides, _compose)


_UNIQUE = secrets.token_hex(2)  # two commands of the same second get different folders
