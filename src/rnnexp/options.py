"""The options of a class: its constructor's keyword-only arguments, its parents' included.

They are read once and used three times: as Hydra schema, as check of a value, as help text.
"""

import copy
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from functools import cache
from typing import Any, Literal, Union

from rnnexp.errors import ConfigError, PluginError, suggest

PLAIN = (int, float, bool, str)
LISTS: tuple[Any, ...] = (list, tuple, Sequence)
DICTS: tuple[Any, ...] = (dict, Mapping)
_LARGEST = 2**63 - 1
"""Of the integers that torch takes."""
REQUIRED = "???"
"""The default of an option that has none; OmegaConf's own mark for a missing value."""


@dataclass(frozen=True)
class Option:
    """One keyword-only argument: what it is called, holds, defaults to and means."""

    name: str
    type: Any
    default: Any = REQUIRED
    doc: str = ""

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values of a ``Literal``, or nothing where any value of the type will do."""
        kind, _ = split_optional(self.type)
        return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()

    @property
    def type_name(self) -> str:
        """The type as a person would write it: ``int``, ``tanh | relu``, ``float | null``."""
        return _type_name(self.type)

    def check(self, value: object, key: str) -> None:
        """Refuse a value that is not of this option's type or choices.

        Raises:
            ConfigError: says the key, what it takes and what it got.
        """
        kind, optional = split_optional(self.type)
        if value is None and optional:
            return
        if fits(value, kind):
            _check_size(value, key)
            return
        if value is None:
            raise null_refused(key, self.default)
        if self.choices:
            text = f"'{value}' is not a choice. {suggest(value, map(str, self.choices))}"
            raise ConfigError(f"{key}: {text}")
        raise ConfigError(f"{key}: expected {self.type_name}, got {value!r}.")

    def argument(self, value: object) -> object:
        """Make of a value of the config what the constructor takes: a config knows no tuples."""
        kind, _ = split_optional(self.type)
        if tuple in (kind, typing.get_origin(kind)) and isinstance(value, list):
            return tuple(typing.cast("list[object]", value))
        return value


def _check_size(value: object, key: str) -> None:
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise ConfigError(f"{key}: must be below 2^63, got {value}.")
    if isinstance(value, float) and math.isnan(value):
        raise ConfigError(f"{key}: expected a number, got nan.")


def arguments_of(
    options: typing.Iterable[Option], values: Mapping[str, object]
) -> dict[str, object]:
    """Make of a group of values what the constructor takes, and may keep and change.

    Args:
        options: what the class takes.
        values: of the config; checked.
    """
    known = {option.name: option for option in options}
    own = copy.deepcopy(dict(values))  # else a list would be one for all that are made
    return {n: known[n].argument(v) if n in known else v for n, v in own.items()}


def null_refused(key: str, example: object = None) -> ConfigError:
    """Make the error for a null where none is taken.

    Args:
        key: which takes none.
        example: a value that it takes; None where none is known.
    """
    known = example not in (None, REQUIRED)
    hint = f", such as {key}={written(example)}" if known else ""
    return ConfigError(f"{key}: takes no null. Give a value{hint}.")


def written(value: object) -> str:
    """Write a value as a command line takes it: lists in brackets, ``null``, ``true``."""
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(written, typing.cast('list[object]', value)))}]"
    if isinstance(value, dict):
        pairs = typing.cast("dict[object, object]", value).items()
        return f"{{{','.join(f'{written(k)}:{written(v)}' for k, v in pairs)}}}"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def split_optional(annotation: Any) -> tuple[Any, bool]:
    """Split ``X | None`` into ``X`` and whether None was allowed."""
    annotation = unaliased(annotation)
    if typing.get_origin(annotation) not in (Union, types.UnionType):
        return annotation, False
    rest = [arg for arg in typing.get_args(annotation) if arg is not type(None)]
    optional = len(rest) < len(typing.get_args(annotation))
    return (unaliased(rest[0]) if len(rest) == 1 else Any), optional


def unaliased(annotation: Any) -> Any:
    """Read what a statement ``type X = ...`` of Python 3.12 stands for."""
    return getattr(annotation, "__value__", annotation)


def _type_name(annotation: Any) -> str:
    kind, optional = split_optional(annotation)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if _is_fixed(kind):
        name = f"[{', '.join(map(_type_name, inner))}]"
    elif inner and origin in LISTS:
        name = f"list of {_type_name(inner[0])}"
    elif (origin or kind) in LISTS:
        name = "list"
    elif origin is Literal:
        name = " | ".join(map(str, inner))
    else:
        name = getattr(kind, "__name__", str(kind))
    return f"{name} | null" if optional else name


@cache
def options_of(cls: type) -> tuple[Option, ...]:
    """List the keyword-only constructor arguments of a class and of the parents it passes them to.

    A constructor that ends in ``**options`` hands on to its parent, so the parent's arguments
    count too; one that does not is where the walk ends.

    Raises:
        PluginError: the type of one cannot be read.
    """
    layers: list[list[Option]] = []
    seen: set[str] = set()
    for klass in cls.__mro__:
        init = klass.__dict__.get("__init__")
        if init is None:
            continue
        parameters = inspect.signature(init).parameters.values()
        new = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in seen]
        seen.update(p.name for p in new)
        layers.append([_option(klass, init, p) for p in new])
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return tuple(option for layer in reversed(layers) for option in layer)


def schema_of(title: str, options: typing.Iterable[Option]) -> type:
    """Build the dataclass that Hydra composes for these options.

    OmegaConf knows no ``Literal``: such an option is a plain string there, and `Option.check`
    holds it to its choices.
    """
    fields = [(option.name, _schema_type(option.type), _schema_field(option)) for option in options]
    return make_dataclass(title, fields)


def check_options(
    options: typing.Iterable[Option], values: typing.Mapping[str, Any], key: str
) -> None:
    """Check a whole group of values against its options.

    Args:
        options: what the group takes.
        values: what it got.
        key: where the group stands in the config, such as ``cell``.

    Raises:
        ConfigError: an unknown key, a wrong type or a value that is no choice.
    """
    known = {option.name: option for option in options}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"Unknown key '{key}.{name}'. {suggest(name, known)}")
        known[name].check(value, f"{key}.{name}")


def _option(klass: type, init: Callable[..., None], parameter: inspect.Parameter) -> Option:
    default = REQUIRED if parameter.default is parameter.empty else parameter.default
    kind = _type_of(inspect.unwrap(init), parameter.name)
    return Option(parameter.name, kind, default, _doc_of(klass, parameter.name))


def _type_of(init: Any, name: str) -> Any:
    # One by one: what cannot be read in the type of another argument is no affair of the config.
    holder = types.SimpleNamespace(__annotations__={})
    try:
        if name in init.__annotations__:
            holder.__annotations__[name] = init.__annotations__[name]
        return typing.get_type_hints(holder, init.__globals__).get(name, Any)
    except Exception as error:  # a text that is evaluated may raise anything
        raise PluginError(
            f"The type of the option '{name}' cannot be read ({type(error).__name__}: {error}). "
            "Import what it names at run time, not under `if TYPE_CHECKING:`."
        ) from error


def _doc_of(klass: type, name: str) -> str:
    # A class that only repeats its parent's option need not repeat the text. As of Python 3.13 a
    # docstring has lost its indentation.
    for doc in (k.__dict__.get("__doc__") or "" for k in klass.__mro__):
        for found, text in re.findall(r"(?ms)^\s*(\w+): (.+?)(?=^\s*\w+: |^\s*$|\Z)", doc):
            if found == name:
                return " ".join(text.split())
    return ""


def _schema_type(annotation: Any) -> Any:
    kind, optional = split_optional(annotation)
    if typing.get_origin(kind) is Literal:
        kind = str if all(isinstance(v, str) for v in typing.get_args(kind)) else Any
    elif (typing.get_origin(kind) or kind) in LISTS:
        inner = Any if _is_fixed(kind) else _element(kind)
        kind = list[inner] if inner in PLAIN else list[Any]
    elif kind not in PLAIN:
        return Any
    return kind | None if optional and kind is not Any else kind


def _schema_field(option: Option) -> Any:
    if isinstance(option.default, (list, tuple)):
        values = list(typing.cast("list[Any]", option.default))
        return field(default_factory=lambda: list(values))
    if isinstance(option.default, dict):
        pairs = dict(typing.cast("dict[Any, Any]", option.default))
        return field(default_factory=lambda: dict(pairs))
    return field(default=option.default)


def fits(value: object, annotation: Any) -> bool:
    """Say whether a value of the config is of a type; a list stands for a tuple, too."""
    kind, optional = split_optional(annotation)
    if kind is Any or (value is None and optional):
        return True
    origin, inner = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is Literal:
        return _is_choice(value, inner)
    if origin in LISTS:
        return isinstance(value, (list, tuple)) and _all_fit(typing.cast("list[Any]", value), kind)
    if origin in DICTS and inner:
        return isinstance(value, dict) and _pairs_fit(typing.cast("dict[Any, Any]", value), inner)
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if kind is float else origin)


def _is_choice(value: object, choices: tuple[Any, ...]) -> bool:
    # True equals 1, but who wrote 1 among the choices did not mean it.
    return any(value == c and isinstance(value, bool) == isinstance(c, bool) for c in choices)


def _is_fixed(kind: Any) -> bool:
    # tuple[int, float] has a type for each place; tuple[int, ...] is a list of any length.
    inner = typing.get_args(kind)
    return typing.get_origin(kind) is tuple and bool(inner) and Ellipsis not in inner


def _element(kind: Any) -> Any:
    return unaliased(next(iter(typing.get_args(kind)), Any))


def _all_fit(values: Sequence[Any], kind: Any) -> bool:
    if _is_fixed(kind):
        inner = typing.get_args(kind)
        return len(values) == len(inner) and all(map(fits, values, inner))
    return all(fits(value, _element(kind)) for value in values)


def _pairs_fit(pairs: Mapping[Any, Any], inner: tuple[Any, ...]) -> bool:
    of_key, of_value = inner
    return all(fits(key, of_key) and fits(value, of_value) for key, value in pairs.items())
