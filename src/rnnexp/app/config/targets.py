"""The one place that turns a ``_target_`` of the config into a call.

Only classes below a few module prefixes are allowed: a config file can come from anybody, and
Hydra's own block list is no boundary.
"""

import inspect
import math
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from hydra.utils import get_class

from rnnexp.errors import ConfigError, suggest
from rnnexp.options import fits

ALLOWED = ("torch.optim.",)


def maker(node: Mapping[str, Any], key: str) -> Any:
    """Make a function that calls the class a config node names, with the node's other keys.

    Args:
        node: a mapping with ``_target_`` and keyword arguments.
        key: where it stands in the config, such as ``optimizer``.

    Returns:
        A partial that takes what the config cannot hold, or None where ``_target_`` is null.

    Raises:
        ConfigError: the class is not allowed or unknown, or takes no such argument.
    """
    if node.get("_target_") is None:
        return None
    values = {str(name): value for name, value in node.items() if name != "_target_"}
    cls = _allowed_class(str(node["_target_"]), key)
    _check_arguments(cls, values, key)
    return partial(cls, **values)


def _allowed_class(path: str, key: str) -> type:
    if not path.startswith(ALLOWED):
        raise ConfigError(
            f"{key}._target_: '{path}' is not allowed. Use a class below {' or '.join(ALLOWED)}"
        )
    try:
        cls = get_class(path)
    except Exception as error:
        raise ConfigError(f"{key}._target_: cannot find '{path}'.") from error
    if not f"{cls.__module__}.".startswith(ALLOWED):
        raise ConfigError(f"{key}._target_: '{path}' is {cls.__module__}.{cls.__name__}.")
    return cls


def _check_arguments(cls: type, values: Mapping[str, Any], key: str) -> None:
    parameters = inspect.signature(cls).parameters
    for name, value in values.items():
        if name not in parameters:
            raise ConfigError(
                f"Unknown key '{key}.{name}'. {suggest(name, parameters)} ~{key}.{name} takes it "
                f"out, where a group such as {key}=adam has set it and {cls.__name__} has no such."
            )
        default = parameters[name].default
        if isinstance(default, bool):
            _require(isinstance(value, bool), f"{key}.{name}", "true or false", value)
        elif isinstance(default, (int, float)):
            _require(fits(value, float), f"{key}.{name}", "a number", value)
        _require(_is_finite(value), f"{key}.{name}", "finite numbers", value)


def _is_finite(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_finite, cast("list[object]", value)))
    return not isinstance(value, float) or math.isfinite(value)


def _require(condition: bool, key: str, expected: str, value: object) -> None:
    if not condition:
        raise ConfigError(f"{key}: expected {expected}, got {value!r}.")
