"""What a command says of its launcher, checked before the first job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from hydra_plugins.rnnexp_local_launcher._options import check_options
from hydra_plugins.rnnexp_local_launcher._processes import LauncherError
from rnnexp.app.config.overrides import parse
from rnnexp.errors import ConfigError

_OURS = "hydra_plugins.rnnexp_"
_FOLDERS = ("hydra.sweep", "hydra.sweep.dir", "hydra.sweep.subdir")


@dataclass(frozen=True)
class LauncherChoice:
    """What ``hydra/launcher=`` of a command chooses.

    Args:
        name: of the launcher.
        options: its own, as ``hydra.launcher`` has them.
    """

    name: str
    options: dict[str, Any]


def check_overrides(overrides: Sequence[Override]) -> None:
    """Refuse what Hydra would take for two launchers, or two sweepers, of one command.

    Args:
        overrides: all of the command, parsed.

    Raises:
        ConfigError: one of Hydra's own keys varies, or its groups are chosen twice.
    """
    chosen: dict[str, str] = {}
    for override in overrides:
        if not override.is_hydra_override():
            continue
        key, line = override.key_or_group, override.input_line or ""
        if override.is_sweep_override():
            raise ConfigError(
                f"{line}: how the jobs of a sweep are run cannot vary within it. Give {key} one "
                "value; for another start another command."
            )
        if "/" in key and chosen.setdefault(key, line) != line:
            raise ConfigError(f"{chosen[key]} and {line}: a command has one. Leave one out.")


def check_folders(hydra: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse what would have the jobs of a sweep elsewhere than they are looked for.

    Args:
        hydra: composed.
        overrides: those of the command.

    Raises:
        ConfigError: says how to have them in a folder of another name.
    """
    if hydra.job.chdir:
        raise ConfigError(
            "hydra.job.chdir=true: the jobs of a sweep name their folders from where the command "
            "was given. Leave it out; what a job writes is in outputs/sweeps/NAME/KEY."
        )
    for override in parse(overrides):
        if override.key_or_group in _FOLDERS:
            raise ConfigError(
                f"{override.input_line}: the jobs of a sweep are looked for in outputs/sweeps/NAME."
                " Leave it out; choose the name by sweep.name=NAME."
            )


def check_launcher_options(launcher: DictConfig) -> None:
    """Refuse values that a launcher of this project cannot work with.

    Args:
        launcher: ``hydra.launcher``, composed.

    Raises:
        ConfigError: the first that is wrong, in words.
    """
    if not str(launcher.get("_target_")).startswith(_OURS):
        return
    try:
        check_options({str(key): value for key, value in launcher.items()})
    except LauncherError as error:
        raise ConfigError(str(error)) from error


def check_timeout(launcher: DictConfig, timeout: float | None) -> None:
    """Refuse a timeout where nobody could end a job for it.

    Args:
        launcher: ``hydra.launcher``, composed.
        timeout: ``sweep.timeout``, in seconds.

    Raises:
        ConfigError: the jobs would run in this process, or wait in a queue that counts their time.
    """
    if timeout is None:
        return
    if "timeout_min" in launcher:
        raise ConfigError(
            f"sweep.timeout={timeout:g}: a queue counts the time of a job. "
            "Use hydra.launcher.timeout_min instead."
        )
    if str(launcher.get("_target_")).endswith("BasicLauncher"):
        raise ConfigError(
            f"sweep.timeout={timeout:g}: a job that runs in the process of the command itself, as "
            "under hydra/launcher=basic, cannot be ended for it. Use hydra/launcher=local."
        )


def check_devices(trials: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a search among devices: its first trial says what places all of them get.

    Args:
        trials: the section ``trainer`` of configs at the edges of what is searched.

    Raises:
        ConfigError: they differ in what they run on.
    """
    for key in ("devices", "accelerator"):
        found = list(dict.fromkeys(str(trial[key]) for trial in trials))
        if len(found) > 1:
            raise ConfigError(
                f"trainer.{key}={','.join(found)}: the trials of a search take turns in the same "
                f"places, so that all of them run on the same devices. Give trainer.{key} one "
                "value; for another start another search."
            )


def is_here(launcher: DictConfig) -> bool:
    """Tell whether the jobs run on this machine, so that its devices are those of the jobs.

    Args:
        launcher: ``hydra.launcher``, composed.
    """
    on_a_cluster = launcher.get("address") not in (None, "local")
    return not on_a_cluster and not str(launcher.get("_target_")).endswith("SlurmLauncher")
