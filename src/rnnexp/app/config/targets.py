"""The one place that turns a ``_target_`` of the config into a call.

Only classes below a few module prefixes are allowed: a config file can come from anybody, and
Hydra's own block list is no boundary.
"""

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, cast, get_args, get_origin, get_type_hints

from hydra.utils import get_class
from torch import Tensor

from rnnexp.errors import ConfigError, suggest
from rnnexp.options import REQUIRED, Option, fits, split_optional

ALLOWED = ("torch.optim.",)
_LAST_EPOCH = "last_epoch"
_Range = tuple[str, Callable[[Any], bool]]
_SHARE: _Range = ("a number in [0, 1]", lambda number: 0 <= number <= 1)
_RANGES: dict[str, _Range] = {
    "RMSprop.alpha": ("a number in [0, 1)", lambda number: 0 <= number < 1),
    "momentum": _SHARE,
    "dampening": _SHARE,
    "base_momentum": _SHARE,
    "max_momentum": _SHARE,
    "ASGD.lambd": ("a number of 0 or more", lambda number: number >= 0),
    "maximize": ("false, for the loss is to become small", lambda on: not on),
}
"""What torch takes for any value, and beyond which a mean, a momentum or the weights grow without
end, or a step goes uphill."""


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


def arguments_of_target(path: str, key: str) -> tuple[Option, ...]:
    """List what a class takes that a config node names, with the first sentence torch has on each.

    Args:
        path: of the class, such as ``torch.optim.Adam``.
        key: where it stands in the config, such as ``optimizer``.

    Raises:
        ConfigError: the class is not allowed or unknown.
    """
    cls = _allowed_class(path, key)
    # The first is what the class works on; the last epoch is a checkpoint's affair.
    _, *others = inspect.signature(cls).parameters.values()
    options = (_option(cls, other) for other in others if other.name != _LAST_EPOCH)
    return tuple(replace(option, doc=_doc_of(cls, option.name)) for option in options)


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
    option = _option(cls, parameter)
    option.check(value, key)
    counts = split_optional(option.type)[0] is int and option.name != _LAST_EPOCH
    if counts and value is not None:
        _require(value >= 1, key, "a count of 1 or more", value)
    range_ = _RANGES.get(f"{cls.__name__}.{parameter.name}") or _RANGES.get(parameter.name)
    if range_ is not None:
        _require(range_[1](value), key, range_[0], value)


def _option(cls: type, parameter: inspect.Parameter) -> Option:
    default = REQUIRED if parameter.default is parameter.empty else parameter.default
    return Option(parameter.name, _type_of(cls, parameter.name), default)


def _doc_of(cls: type, name: str) -> str:
    # Its defaults are not those of a preset, and what follows is of groups of parameters, of CUDA.
    entry = rf"^\s+{name} \([^\n]*?\) ?:(.+?)(?=\.\s|;|\(?default:|^\s+\w+ \(|^\s*$|\Z)"
    found = re.search(entry, cls.__doc__ or "", re.M | re.S | re.I)
    words = " ".join(found[1].split()) if found else ""
    return words.replace("`_", "").replace("`", "")


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
