"""Refuse in words what the class of a plugin declares and a config cannot hold."""

import inspect
import re
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Union, cast

from rnnexp.errors import DeclaredError, PluginError, suggest
from rnnexp.options import DICTS, LISTS, PLAIN, REQUIRED, Option, fits, unaliased
from rnnexp.registry import Entry, Kind

BASES: dict[Kind, tuple[str, str]] = {
    "cell": ("rnnexp.cells.contract.Cell", "rnnexp.cells.PointwiseCell or rnnexp.cells.Cell"),
    "task": ("rnnexp.tasks.contract.Task", "rnnexp.tasks.GeneratedTask or rnnexp.tasks.Task"),
    "callback": ("pytorch_lightning.callbacks.callback.Callback", "pytorch_lightning.Callback"),
}
"""What a plugin of a kind is derived from: the full name of the class, and what an author writes.
Names, since neither the contracts nor Lightning may be imported here."""
_GIVEN: dict[Kind, tuple[str, ...]] = {"cell": ("input_size",), "task": ("seed",), "callback": ()}
"""What a constructor is given by position."""
_RESERVED = {kind: (*names, "name", "defaults") if names else () for kind, names in _GIVEN.items()}
"""What no option is called: it is given, or a config keeps it for itself, as the name of the plugin
and Hydra's list of defaults."""
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
PATTERNS = ("every_step", "last")
"""Where the targets of a task may stand; the contract of a task has them as a type."""
_SCALARS = (*PLAIN, type(None))
_HELD = "None, bool, int, float, str, and lists, tuples and dicts of these"


def check_entry(entry: Entry) -> None:
    """Refuse a class that is none of its kind, or whose options a config cannot hold.

    Args:
        entry: as it was registered.

    Raises:
        DeclaredError: says what is wrong, and what to write.
    """
    base, written = BASES[entry.kind]
    if base not in (f"{k.__module__}.{k.__qualname__}" for k in entry.cls.__mro__):
        text = f"The {entry.kind} '{entry.name}' is no {base.rpartition('.')[2]}"
        raise DeclaredError(f"{text}: derive its class from {written}.", _line(entry))
    _check_positional(entry)
    try:
        options = entry.options
    except PluginError as error:
        raise DeclaredError(f"The {entry.kind} '{entry.name}': {error}", _line(entry)) from error
    for option in options:
        _check_option(entry, option)
    if entry.kind == "task":
        _check_patterns(entry)


def fault_of_patterns(patterns: object) -> str | None:
    """Say what is wrong with the `patterns` of a task, if anything is.

    Args:
        patterns: as the class or the task has them.
    """
    if isinstance(patterns, str):
        return f"patterns is the text {patterns!r}; write patterns = ({patterns!r},), with a comma"
    if not isinstance(patterns, (tuple, list)) or not patterns:
        return f"patterns is {patterns!r}; write a tuple, such as patterns = ('last',)"
    for pattern in cast("Sequence[object]", patterns):
        if pattern not in PATTERNS:
            hint = suggest(pattern, PATTERNS).rstrip(".")
            return f"patterns names {pattern!r}, where no targets can stand. {hint}"
    return None


def _check_positional(entry: Entry) -> None:
    owner = next(cls for cls in entry.cls.__mro__ if "__init__" in cls.__dict__)
    parameters = list(inspect.signature(owner.__dict__["__init__"]).parameters.values())
    given = _GIVEN[entry.kind]
    if not _takes(parameters, given):
        raise DeclaredError(
            f"__init__ of the {entry.kind} '{entry.name}' must take {given[0]} first: it is given "
            f"by position. Write {_signature(parameters, given)}.",
            _line(entry, "self"),
        )
    if owner.__module__ != entry.cls.__module__:  # a library's; who uses it knows why
        return
    names = [parameter.name for parameter in parameters if parameter.kind in _POSITIONAL]
    for name in names[1 + len(given) :]:
        raise _refusal(entry, name, "is no option: options stand behind a `*` in __init__")


def _takes(parameters: Sequence[inspect.Parameter], given: tuple[str, ...]) -> bool:
    # By position and by name, whichever who makes an object prefers.
    first = parameters[: 1 + len(given)]
    if any(p.kind is p.VAR_POSITIONAL for p in first):
        return True
    return tuple(p.name for p in first[1:] if p.kind is p.POSITIONAL_OR_KEYWORD) == given


def _signature(parameters: Sequence[inspect.Parameter], given: tuple[str, ...]) -> str:
    # As it is to be written, with the options that it has.
    first = [
        inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in ("self", *given)
    ]
    held = [p for p in parameters[1:] if p.kind is not p.VAR_POSITIONAL and p.name not in given]
    rest = [p.replace(kind=p.KEYWORD_ONLY) if p.kind in _POSITIONAL else p for p in held]
    return f"def __init__{inspect.Signature([*first, *rest])}"


def _check_option(entry: Entry, option: Option) -> None:
    text = None
    if option.name in _RESERVED[entry.kind]:
        text = "has a name that the config keeps for itself; call it something else"
    elif not _can_hold(option.type):
        written = _named(option.type)
        text = f"is of type {written}, which a config cannot hold. {_advice()}"
    elif option.default != REQUIRED:
        text = _fault(option)
    if text is not None:
        raise _refusal(entry, option.name, text)


def _check_patterns(entry: Entry) -> None:
    owner = next(cls for cls in entry.cls.__mro__ if "patterns" in cls.__dict__)
    patterns = owner.__dict__["patterns"]
    if hasattr(patterns, "__get__"):  # a property: known of the task that is made
        return
    fault = fault_of_patterns(patterns)
    if fault is not None:
        line = _line_in(owner, entry.file, r"^\s*patterns\s*[:=]") or _line(entry)
        raise DeclaredError(f"The task '{entry.name}': {fault}.", line)


def _named(kind: Any) -> str:
    # Python 3.13 says in which module of its own it keeps the classes of pathlib.
    return inspect.formatannotation(kind).replace("pathlib._local.", "pathlib.")


def _fault(option: Option) -> str | None:
    # What is wrong with a default, if anything is.
    value, written = option.default, _named(option.type)
    if not _is_held(value):
        kind = _named(type(value))
        return f"holds {kind} by default, which a config cannot. {_advice()}"
    if "${" in repr(value):
        return "has ${ in its default, which a config reads as a reference; write it otherwise"
    if fits(value, option.type):
        return None
    if value is None:
        return f"is None by default: write {option.name}: {written} | None"
    if option.choices:
        return f"is {value!r} by default, which is not among its choices {option.type_name}"
    return f"is {value!r} by default, which is not of its type {written}; change one of them"


def _advice() -> str:
    return f"It holds {_HELD}: take one of these, such as a str, and make the rest in __init__"


def _can_hold(annotation: Any) -> bool:
    annotation = unaliased(annotation)
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return any(_can_hold(arg) for arg in inner if arg is not type(None))
    if origin is Literal:
        return all(type(choice) in _SCALARS for choice in inner)
    if origin is not None:
        return origin in (*LISTS, *DICTS) and all(_can_hold(a) for a in inner if a is not ...)
    return annotation in (Any, object, *_SCALARS, *LISTS, *DICTS)


def _is_held(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_held, cast("list[object]", value)))
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value).items()
        return all(type(key) in PLAIN and _is_held(inner) for key, inner in pairs)
    return type(value) in _SCALARS


def _refusal(entry: Entry, option: str, text: str) -> DeclaredError:
    return DeclaredError(
        f"The option '{option}' of the {entry.kind} '{entry.name}' {text}.", _line(entry, option)
    )


def _line(entry: Entry, option: str | None = None) -> int | None:
    # That of the option where its constructor stands in the plugin's own file, else of the class.
    for cls in entry.cls.__mro__ if option else ():
        line = _line_in(cls.__dict__.get("__init__"), entry.file, rf"\b{option}\s*[:=,)]")
        if line is not None:
            return line
    return _line_in(entry.cls, entry.file, r"^\s*class\b")


def _line_in(what: type | Callable[..., None] | None, file: Path, pattern: str) -> int | None:
    try:
        if what is None or inspect.getfile(what) != str(file):
            return None
        lines, first = inspect.getsourcelines(what)
    except (OSError, TypeError):  # made by a decorator, or in no file
        return None
    found = (at for at, text in enumerate(lines, first) if re.search(pattern, text))
    return next(found, None)
