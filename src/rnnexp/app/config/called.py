"""What a config would have Hydra itself call: few things are allowed, and all others refused.

A config can come from anybody, and so can the overrides of a run that is resumed.
"""

import re
from collections.abc import Iterator
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rnnexp.errors import ConfigError

_CALLBACK = "hydra.experimental.callbacks.LogJobReturnCallback"
_CALLS = "_target_"
_LOGGING_CALLS = ("()", "class", "queue", "listener")
"""Keys under which `logging.config` looks for what it is to call."""
_OF_LOGGING = re.compile(
    r"logging\.(handlers\.)?\w*(Handler|Formatter|Filter)|colorlog\.ColoredFormatter"
)
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
_Leaf = tuple[str, Any, Any]
"""Where it stands, the last name of that, and the value as it is written."""


def check_called(hydra: DictConfig) -> None:
    """Refuse what Hydra would call, or have called, that is none of a few known.

    Args:
        hydra: the section of this name, composed.

    Raises:
        ConfigError: names the key.
    """
    for section in ("callbacks", "launcher", "sweeper"):
        for key, name, value in _leaves(hydra[section], f"hydra.{section}"):
            if name == _CALLS:
                _check_target(section, key, str(value))
    for section in ("job_logging", "hydra_logging"):
        for key, name, value in _leaves(hydra[section], f"hydra.{section}"):
            _check_logging(key, name, str(value))


def _check_target(section: str, key: str, path: str) -> None:
    if section == "callbacks":
        advice = f"Of Hydra's callbacks {_CALLBACK} is; one of your own is a plugin"
        _require(path == _CALLBACK, key, path, f"{advice}: +callbacks.NAME={{}}")
    else:
        _require(path in _plugins(), key, path, f"Leave it out, and give hydra/{section}=NAME")


def _plugins() -> set[str]:
    found = (cls for kind in (Launcher, Sweeper) for cls in Plugins.instance().discover(kind))
    return {f"{cls.__module__}.{cls.__qualname__}" for cls in found}


def _check_logging(key: str, name: Any, value: str) -> None:
    if name in _LOGGING_CALLS:
        known = _OF_LOGGING.fullmatch(value) is not None
        _require(known, key, value, "Use a class of Python's logging, such as logging.FileHandler")
    if value.startswith("ext://"):
        _require(value in _STREAMS, key, value, f"Use {' or '.join(_STREAMS)}")


def _require(condition: bool, key: str, value: str, advice: str) -> None:
    if not condition:
        raise ConfigError(
            f"{key}: '{value}' is not allowed, for a config can come from anybody. {advice}."
        )


def _leaves(node: Any, key: str) -> Iterator[_Leaf]:
    if not isinstance(node, (DictConfig, ListConfig)):
        return
    raw: Any = OmegaConf.to_container(node, resolve=False)
    for name in raw if isinstance(node, DictConfig) else range(len(raw)):
        where = f"{key}.{name}"
        try:
            value: Any = node[name]
        except OmegaConfBaseException as error:
            value = _unresolved(where, raw[name], error)
        if OmegaConf.is_config(value):
            yield from _leaves(value, where)
        else:
            yield where, name, raw[name]


def _unresolved(key: str, value: str, error: Exception) -> str:
    # Text around what is not known yet makes it a text; without any it could become a mapping.
    if value.startswith("${") and value.endswith("}"):
        raise ConfigError(f"{key}={value}: {error} Give the value itself.") from error
    return value
