"""The options of a class: its constructor's keyword-only arguments, its parents' included.

They are read once and used three times: as Hydra schema, as check of a value, as help text.
"""

import inspect
import re
import types
import typing
from dataclasses import dataclass, field, make_dataclass
from typing import Any, Literal, Union

from rnnexp.errors import ConfigError, suggest

_PLAIN = (int, float, bool, str)
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
        if self.choices:
            _check_choice(value, self.choices, key)
        elif not _fits(value, kind):
            raise ConfigError(f"{key}: expected {self.type_name}, got {value!r}.")


def split_optional(annotation: Any) -> tuple[Any, bool]:
    """Split ``X | None`` into ``X`` and whether None was allowed."""
    if typing.get_origin(annotation) not in (Union, types.UnionType):
        return annotation, False
    rest = [arg for arg in typing.get_args(annotation) if arg is not type(None)]
    optional = len(rest) < len(typing.get_args(annotation))
    return (rest[0] if len(rest) == 1 else Any), optional


def _type_name(annotation: Any) -> str:
    kind, optional = split_optional(annotation)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (list, tuple):
        name = f"list of {_type_name(inner[0])}"
    elif origin is Literal:
        name = " | ".join(map(str, inner))
    else:
        name = getattr(kind, "__name__", str(kind))
    return f"{name} | null" if optional else name


def options_of(cls: type) -> tuple[Option, ...]:
    """List the keyword-only constructor arguments of a class and of the parents it passes them to.

    A constructor that ends in ``**options`` hands on to its parent, so the parent's arguments
    count too; one that does not is where the walk ends.
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


def _option(klass: type, init: Any, parameter: inspect.Parameter) -> Option:
    hints = typing.get_type_hints(init)
    default = REQUIRED if parameter.default is parameter.empty else parameter.default
    kind = hints.get(parameter.name, Any)
    return Option(parameter.name, kind, default, _doc_of(klass, parameter.name))


def _doc_of(klass: type, name: str) -> str:
    # A class that only repeats its parent's option need not repeat the text.
    entry = re.compile(rf"^\s+{name}: (.+?)(?=^\s+\w+: |^\s*$|\Z)", re.M | re.S)
    found = (entry.search(k.__dict__.get("__doc__") or "") for k in klass.__mro__)
    match = next(filter(None, found), None)
    return " ".join(match.group(1).split()) if match else ""


def _schema_type(annotation: Any) -> Any:
    kind, optional = split_optional(annotation)
    if typing.get_origin(kind) is Literal:
        kind = str if all(isinstance(v, str) for v in typing.get_args(kind)) else Any
    elif typing.get_origin(kind) in (list, tuple):
        inner = typing.get_args(kind)[0]
        kind = list[inner] if inner in _PLAIN else list[Any]
    elif kind not in _PLAIN:
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


def _check_choice(value: object, choices: tuple[Any, ...], key: str) -> None:
    if not _is_choice(value, choices):
        raise ConfigError(
            f"{key}: '{value}' is not a choice. {suggest(str(value), map(str, choices))}"
        )


def _is_choice(value: object, choices: tuple[Any, ...]) -> bool:
    # True equals 1, but who wrote 1 among the choices did not mean it.
    return any(value == c and isinstance(value, bool) == isinstance(c, bool) for c in choices)


def _fits(value: object, annotation: Any) -> bool:
    kind, optional = split_optional(annotation)
    if kind is Any or (value is None and optional):
        return True
    origin = typing.get_origin(kind)
    if origin is Literal:
        return _is_choice(value, typing.get_args(kind))
    if origin in (list, tuple):
        return _all_fit(value, typing.get_args(kind)[0])
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if kind is float else origin or kind)


def _all_fit(value: object, inner: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(
        _fits(item, inner) for item in typing.cast("list[object]", value)
    )
