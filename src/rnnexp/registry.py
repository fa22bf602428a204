"""What plugins register, under which name, from which file. Imports no torch."""

import inspect
import keyword
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

from rnnexp.errors import NameTakenError, PluginError, unknown
from rnnexp.options import Option, options_of

Kind = Literal["cell", "task", "callback"]
C = TypeVar("C", bound=type)
_READ_OTHERWISE = {"null", "nan", "inf", "true", "false", "yes", "no", "on", "off"}
"""What Hydra's command line or a YAML file takes for no text, in letters of any case."""

_BEGINS_EQUATION = re.compile(r"\S+(, \S+)* +=\s")


@dataclass(frozen=True)
class Entry:
    """One registered class and what is known of it without making one.

    Args:
        kind: cell, task or callback.
        name: by which it is chosen.
        cls: the class.
        file: where it is defined.
        content: of that file when the class was made of it; it may have been edited since.
    """

    kind: Kind
    name: str
    cls: type
    file: Path
    content: bytes = field(default=b"", repr=False, compare=False)

    @property
    def options(self) -> tuple[Option, ...]:
        """Its keyword-only constructor arguments."""
        return options_of(self.cls)

    @property
    def place(self) -> str:
        """Where the class is defined."""
        return f"{self.cls.__qualname__} in {self.file}"

    @property
    def doc(self) -> str:
        """Its own docstring, none of a parent's, without indentation."""
        return inspect.cleandoc(self.cls.__doc__ or "")

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return self.doc.partition("\n")[0]

    @property
    def source(self) -> str:
        """Where it comes from: the text after ``Source:`` in its docstring."""
        _, _, text = self.doc.partition("\nSource:")
        return " ".join(text.split())

    @property
    def equation(self) -> str:
        """The indented lines of its docstring that stand before ``Args:`` and ``Source:``."""
        above = self.doc.partition("\nArgs:")[0].partition("\nSource:")[0]
        body = above.partition("\n")[2].lstrip("\n")
        if _BEGINS_EQUATION.match(body):  # nothing else below the first line, to be indented from
            lines = body.partition("\n\n")[0].splitlines()
        else:
            lines = [line for line in body.splitlines() if line.startswith("    ")]
        return "\n".join(line.strip() for line in lines)


@dataclass(frozen=True)
class Failure:
    """A plugin file that could not be loaded, and why.

    Args:
        file: which.
        error: what it raised.
        line: where in it.
        taken: kind and name, where the name was another plugin's already.
        names: kinds and names of what it had registered until then.
    """

    file: str
    error: str
    line: int | None = None
    taken: tuple[str, str] | None = None
    names: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.error}"

    def concerns(self, kind: str, name: str) -> bool:
        """Say whether a plugin of this kind and name is probably what the file was to bring."""
        return (kind, name) in self.names or Path(self.file).stem == name


@dataclass
class Registry:
    """Names to classes, one name space per kind."""

    entries: dict[tuple[Kind, str], Entry] = field(default_factory=dict[tuple[Kind, str], Entry])
    failures: list[Failure] = field(default_factory=list[Failure])
    _giving_way: Mapping[tuple[Kind, str], Entry] = field(
        default_factory=dict[tuple[Kind, str], Entry]
    )

    def add(self, kind: Kind, name: str, cls: type) -> None:
        """Register a class.

        Raises:
            NameTakenError: the name is taken by another class.
            PluginError: the class stands in no file.
        """
        file = _file_of(kind, name, cls)
        content = file.read_bytes() if file.is_file() else b""  # a module in a zip file has none
        entry = Entry(kind, name, cls, file, content)
        old = self.entries.get((kind, name))
        gives_way = old is self._giving_way.get((kind, name))
        if old is not None and old.place != entry.place and not gives_way:
            raise NameTakenError(
                f"The {kind} '{name}' is registered twice: by {old.place} and by {entry.place}. "
                "Rename one of them.",
                (kind, name),
            )
        self.entries[kind, name] = entry

    @contextmanager
    def giving_way(self) -> Generator[None]:
        """Let what stands now give way to what is registered under the same names in the block."""
        self._giving_way = dict(self.entries)
        try:
            yield
        finally:
            self._giving_way = {}

    def get(self, kind: Kind, name: str) -> Entry:
        """Look a name up.

        Raises:
            UnknownNameError: nothing is registered under it; says the nearest name.
            PluginError: nothing is, and the file that may define it failed to load; or two files
                register it, and who asks may mean either.
        """
        for failure in self.failures:
            if failure.taken == (kind, name):
                raise PluginError(failure.error)
        if (kind, name) in self.entries:
            return self.entries[kind, name]
        broken = [failure for failure in self.failures if failure.concerns(kind, name)]
        if broken:
            raise PluginError(
                f"The {kind} '{name}' cannot be used: its file fails to load. {broken[0]}"
            )
        raise unknown(kind, name, self.names(kind))

    def drop(self, entry: Entry, error: str) -> None:
        """Take a class out again that turns out to be of no use.

        Args:
            entry: the class.
            error: why, in words.
        """
        del self.entries[entry.kind, entry.name]
        names = ((entry.kind, entry.name),)
        self.failures.append(Failure(str(entry.file), error, names=names))

    def settle(self, kind: Kind, name: str) -> None:
        """Take a name to mean the class that has it, whatever other file registers it too."""
        key = (kind, name)
        self.failures[:] = [
            replace(failure, taken=None) if failure.taken == key else failure
            for failure in self.failures
        ]

    def names(self, kind: Kind) -> list[str]:
        """List the registered names of a kind, sorted."""
        return sorted(name for entry_kind, name in self.entries if entry_kind == kind)

    def all(self, kind: Kind) -> list[Entry]:
        """List the entries of a kind, sorted by name."""
        return [self.entries[kind, name] for name in self.names(kind)]


REGISTRY = Registry()


def check_name(kind: Kind, name: str) -> None:
    """Refuse a name that a command line or a YAML file could not choose the plugin by.

    Args:
        kind: of the plugin.
        name: what it is to be registered under.

    Raises:
        PluginError: says why.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise PluginError(
            f"'{name}' cannot name a {kind}: use letters from a to z, digits and underscores, "
            "and no digit first."
        )
    reason = None
    if name.lower() in _READ_OTHERWISE:
        reason = "a command line or a YAML file reads it as a value that is no text"
    elif keyword.iskeyword(name):
        reason = "it is a keyword of Python"
    if reason is not None:
        raise PluginError(
            f"'{name}' cannot name a {kind}: {reason}. Take another, such as {name}_{kind}."
        )


def register_cell(name: str) -> Callable[[C], C]:
    """Register a cell class: ``cell=NAME`` then selects it.

    Args:
        name: the name on the command line; see `check_name`.
    """
    return _registering("cell", name)


def register_task(name: str) -> Callable[[C], C]:
    """Register a task class: ``task=NAME`` then selects it.

    Args:
        name: the name on the command line; see `check_name`.
    """
    return _registering("task", name)


def register_callback(name: str) -> Callable[[C], C]:
    """Register a Lightning callback: ``+callbacks.NAME={}`` then has a run call it.

    Args:
        name: the name on the command line; see `check_name`.
    """
    return _registering("callback", name)


def _registering(kind: Kind, name: str) -> Callable[[C], C]:
    check_name(kind, name)

    def register(cls: C) -> C:
        _check_class(kind, cls)
        REGISTRY.add(kind, name, cls)
        return cls

    return register


def _file_of(kind: Kind, name: str, cls: type) -> Path:
    try:
        return Path(inspect.getfile(cls))
    except (OSError, TypeError) as error:
        raise PluginError(
            f"The {kind} '{name}' stands in no file: a plugin's file is kept with each of its "
            f"runs. Write it into one, in a notebook by %%writefile my_plugins/{name}.py, and give "
            f"plugin_dirs=[my_plugins]. In Python the class works without @register_{kind}."
        ) from error


def _check_class(kind: Kind, cls: object) -> None:
    if not isinstance(cls, type):
        raise PluginError(
            f"@register_{kind} stands above a {type(cls).__name__}: it takes a class."
        )
