"""The folders that a command adds to where configs and plugins lie."""

from collections.abc import Sequence
from pathlib import Path

from rnnexp.app.config.build import Plan
from rnnexp.app.config.overrides import check_varied, parse, quoted
from rnnexp.discovery import ENVIRONMENT, plugin_folders
from rnnexp.errors import ConfigError


def search_path(overrides: Sequence[str], config_dir: str | None = None) -> list[str]:
    """Say, as an override, where else configs lie: the folders ``conf`` of plugin folders.

    Args:
        overrides: those of the command, which may name plugin folders.
        config_dir: Hydra's ``--config-dir``, where it is not handed on itself.
    """
    folders = [Path(config_dir)] if config_dir else []
    for name in plugin_folders(plugin_dirs(overrides)):
        if (name / "conf").is_dir():
            folders.append(name / "conf")
    given = any(o.startswith("hydra.searchpath=") for o in overrides)
    if not folders or given:
        return []
    places = ",".join(quoted(f"file://{folder.resolve()}") for folder in folders)
    return [f"hydra.searchpath=[{places}]"]


def plugin_dirs(overrides: Sequence[str]) -> list[str]:
    """List the plugin folders that a command line names.

    Args:
        overrides: those of the command.

    Raises:
        ConfigError: they vary in a sweep.
    """
    named = [o for o in overrides if o.lstrip("+").startswith("plugin_dirs=")]
    if not named:
        return []
    given = parse(named)
    check_varied(given)
    value = given[-1].value()
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def check_plugin_dirs(plan: Plan, overrides: Sequence[str]) -> None:
    """Refuse a config that names a plugin folder which the command does not.

    Args:
        plan: of a run.
        overrides: those of the command.

    Raises:
        ConfigError: says where to name the folder.
    """
    # Plugins are loaded before anything is composed: they are part of what can be composed.
    loaded = set(plugin_folders(plugin_dirs(overrides)))
    for name in plan.values["plugin_dirs"]:
        if Path(name).expanduser().resolve() not in loaded:
            raise ConfigError(
                f"plugin_dirs: a config file names '{name}', which is not read from there. Give "
                f"plugin_dirs=[{name}] on the command line, or name it in ${ENVIRONMENT}."
            )
