"""The one place that turns a ``_target_`` of the config into a call.

Only classes below a few module prefixes are allowed: a config file can come from anybody, and
Hydra's own block list is no boundary.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, cast, get_args, get_origin, get_type_hints

from hydra.utils import get_class
from torch import Tensor

from rnnexp.errors import ConfigError, suggest
from rnnexp.options import REQUIRED, Option, fits, split_optional

ALLOWED = ("torch.optim.",)
_Range = tuple[str, Callable[[Any], bool]]
_SHARE: _Range = ("a number in [0, 1]", lambda number: 0 <= number <= 1)
_RANGES: dict[str, _Range] = {
    "RMSprop.alpha": ("a number in [0, 1)", lambda number: 0 <= number < 1),
    "momentum": _SHARE,
    "dampening": _SHARE,
    "base_momentum": _SHARE,
    "max_momentum": _SHARE,
}
"""What torch takes for any number, and beyond which a mean or a momentum grows without end, or a
step goes uphill."""


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
        _check_value(cls, parameters[name], value, f"{key}.{name}")


def _check_value(cls: type, parameter: inspect.Parameter, value: Any, key: str) -> None:
    default = parameter.default
    if isinstance(default, bool):
        _require(isinstance(value, bool), key, "true or false", value)
    elif isinstance(default, (int, float)):
        _require(fits(value, float), key, "a number", value)
    _require(_is_finite(value), key, "finite numbers", value)
    kind = _type_of(cls, parameter.name)
    usual = REQUIRED if default is parameter.empty else default
    Option(parameter.name, kind, usual).check(value, key)
    if split_optional(kind)[0] is int and parameter.name != "last_epoch" and value is not None:
        _require(value >= 1, key, "a count of 1 or more", value)
    range_ = _RANGES.get(f"{cls.__name__}.{parameter.name}") or _RANGES.get(parameter.name)
    if range_ is not None:
        _require(range_[1](value), key, range_[0], value)


def _type_of(cls: type, name: str) -> Any:
    # One by one: torch imports for type checkers only what some of the others name.
    annotated = inspect.unwrap(cls.__init__)
    holder = SimpleNamespace(__annotations__={name: annotated.__annotations__.get(name, Any)})
    try:
        return _without_tensors(get_type_hints(holder, annotated.__globals__)[name])
    except NameError:
        return Any


def _without_tensors(kind: Any) -> Any:
    # A config holds none: where torch takes one, it takes a number as well.
    inner = get_args(kind)
    if Tensor in inner:
        return float
    return tuple[tuple(map(_without_tensors, inner))] if get_origin(kind) is tuple else kind


def _is_finite(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_finite, cast("list[object]", value)))
    return not isinstance(value, float) or math.isfinite(value)


def _require(condition: bool, key: str, expected: str, value: object) -> None:
    if not condition:
        raise ConfigError(f"{key}: expected {expected}, got {value!r}.")
