"""Compose and check every config of a command before the first run begins."""

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from hydra_plugins.rnnexp_optuna_sweeper._settings import Settings
from rnnexp.app.config.build import Plan
from rnnexp.app.config.corners import corners_of, settled
from rnnexp.app.config.family import Composer
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
from rnnexp.app.config.validate import plain, validate_plain
from rnnexp.app.config.words import (
    callbacks_refused,
    chosen,
    in_file,
    key_of_no_mapping,
    of_a_sweep,
    unknown_callback_key,
    unknown_choice,
    unknown_key,
)
from rnnexp.discovery import load_plugins
from rnnexp.errors import ConfigError, RnnexpError
from rnnexp.options import null_refused
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
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        hydra = _composed_with_hydra([*search_path(overrides, config_dir), *overrides])["hydra"]
    options: Any = OmegaConf.to_container(hydra.launcher, resolve=True)
    return LauncherChoice(str(hydra.runtime.choices["hydra/launcher"]), options)


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
    with open_dict(whole):
        del whole["hydra"]
    return whole


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
    plan = plan_of_over(values) if is_over(values) else validate_plain(values, here=here)
    check_plugin_dirs(plan, overrides)
    return plan


def _compose(overrides: list[str], with_hydra: bool = False) -> DictConfig:
    try:
        return compose(CONFIG_NAME, overrides, return_hydra_config=with_hydra)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides) from error
    except (ValueError, TypeError) as error:  # Hydra's parser lets some malformed overrides through
        raise unreadable(overrides, error) from error


def explain(error: Exception, overrides: Sequence[str]) -> RnnexpError:
    """Put an error of Hydra's composition into this project's words."""
    text = str(error)
    choice = re.search(r"Could not find '([^']+/[^'/]*)'", text)
    if choice:
        return unknown_choice(*chosen(choice[1], overrides), text)
    sweep = of_a_sweep(text)
    if sweep:
        return sweep
    cause = error.__cause__ or error
    if isinstance(cause, (ConfigAttributeError, ConfigKeyError)) and cause.full_key:
        return _unknown_key(cause.full_key, overrides)
    return _bad_value(error.__cause__ or error.__context__ or error, text, overrides)


def _unknown_key(key: str, overrides: Sequence[str]) -> RnnexpError:
    if key.startswith("callbacks."):
        return unknown_callback_key(key)
    parent = key.rpartition(".")[0]
    others = [o for o in overrides if not _names(o, key)]
    if len(others) == len(overrides):
        return ConfigError(f"Unknown key '{key}'.")
    node: Any = _compose(list(others), with_hydra=key.startswith("hydra."))
    everything = OmegaConf.to_container(node)
    for part in parent.split(".") if parent else []:
        node = node.get(part) if isinstance(node, DictConfig) else None
    if not isinstance(node, DictConfig):
        return key_of_no_mapping(key, node)
    known = [str(option) for option in node if not str(option).startswith("_")]
    return unknown_key(key, known, everything)


def _names(override: str, key: str) -> bool:
    given, equals, value = override.lstrip("+~").partition("=")
    # An override of a whole group, such as clip={max:1} or ~clip, names the keys below it too; a
    # choice of one, such as clip=norm, says which keys there are.
    whole = not equals or value.startswith("{")
    return given.startswith(key) or (whole and key.startswith(f"{given}."))


def _bad_value(cause: BaseException, text: str, overrides: Sequence[str]) -> ConfigError:
    where, file = getattr(cause, "full_key", None), in_file(text)
    first = str(cause).partition("\n")[0].rstrip(".") or text
    wrong = re.search(r"Value '(.*)' of type '.*' could not be converted to (\w+)", first)
    if where == "callbacks":
        return callbacks_refused(_given(where, overrides))
    if where and wrong:
        return ConfigError(f"{where}: expected {wrong[2].lower()}, got '{wrong[1]}'{file}.")
    if where and ("is not Optional" in first or "Incompatible value 'None'" in first):
        return null_refused(where, _usual(where, overrides))
    if where and "is not a ListConfig, list or tuple" in first:
        example = f"{where}=[{_given(where, overrides)}]"
        return ConfigError(f"{where}: expected a list, such as {example}.")
    return ConfigError(f"{where}: {first}{file}." if where else text.strip())


def _given(key: str, overrides: Sequence[str]) -> str:
    # The text that the last override of a key gives it.
    given = [o.partition("=")[2] for o in overrides if o.lstrip("+").startswith(f"{key}=")]
    return "".join(given[-1:])


def _usual(key: str, overrides: Sequence[str]) -> object:
    # What the key holds without the override that names it; None where a file gives the null.
    others = [o for o in overrides if not _names(o, key)]
    if len(others) == len(overrides):
        return None
    return OmegaConf.select(_compose(others, with_hydra=key.startswith("hydra.")), key)


_UNIQUE = secrets.token_hex(2)  # two commands of the same second get different folders
