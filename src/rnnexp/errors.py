"""The errors a user can meet, all of them in words.

RnnexpError
├── UserError          something asked for cannot be done: exit code 2, no traceback
│   ├── ConfigError        a key, a value or a combination of the config
│   ├── UnknownNameError   a name that nothing is registered under
│   ├── PluginError        a plugin that cannot be loaded or used
│   │   ├── NameTakenError     its name is another's already
│   │   └── DeclaredError      what its class declares cannot be used
│   └── StoreError         a tracking store that cannot be used
│       ├── DamagedError       a record that cannot be read any more
│       └── StoreAwayError     a tracking server that does not answer
└── RunError           a run that started and could not end well: exit code 1
    └── NonFiniteError     a loss, gradient or state that is NaN or infinite
"""

from collections.abc import Iterable
from difflib import get_close_matches

EXIT_FAILED = 1
EXIT_USER = 2
_FEW = 12
"""So many names can be listed beside a guess without hiding it."""
_STACK = "\nException raised from "
"""With it torch begins the calls of its C++ that led to an error: dozens of lines."""
_SURE = 0.7
"""So much alike a guess must be to stand instead of a long list."""


class RnnexpError(Exception):
    """Everything this package raises on purpose."""


class UserError(RnnexpError, ValueError):
    """Something asked for that cannot be done."""


class ConfigError(UserError):
    """A key, a value or a combination of the config that cannot work."""


class UnknownNameError(UserError):
    """A name that nothing is registered under."""


class PluginError(UserError):
    """A plugin that cannot be loaded or used."""


class NameTakenError(PluginError):
    """A plugin under a name that another class has.

    Args:
        text: which classes.
        key: kind and name.
    """

    def __init__(self, text: str, key: tuple[str, str]) -> None:
        super().__init__(text)
        self.key = key


class DeclaredError(PluginError):
    """A plugin whose class declares what no config can hold, or is none of its kind.

    Args:
        text: what is wrong, and what to write.
        line: where in the plugin's file, if it is known.
    """

    def __init__(self, text: str, line: int | None) -> None:
        super().__init__(text)
        self.line = line


class StoreError(UserError):
    """A tracking store that cannot be used."""


class DamagedError(StoreError):
    """A record that cannot be read any more."""


class StoreAwayError(StoreError):
    """A tracking server that does not answer."""


class RunError(RnnexpError, RuntimeError):
    """A run that started and could not end well."""


class NonFiniteError(RunError):
    """A loss, a gradient, an input or a state that is NaN or infinite."""


def describe(error: BaseException) -> str:
    """Say an error in one line: its type, unless it is one of ours, and its message."""
    if type(error).__module__.startswith("rnnexp."):
        return str(error)
    text = str(error).partition(_STACK)[0]
    return f"{type(error).__name__}: {text}".rstrip(": ")


def nearest(name: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Find the known name that was probably meant, in whatever case; None where none is near.

    Args:
        name: what the user wrote.
        known: the names that would have worked.
        cutoff: how alike two names must be, from 0 to 1.
    """
    lowered = {one.lower(): one for one in known}
    close = get_close_matches(name.lower(), lowered, n=1, cutoff=cutoff)
    return lowered[close[0]] if close else None


def suggest(name: object, known: Iterable[str]) -> str:
    """Say which known name was probably meant; list them all where none is that near, or few.

    Args:
        name: what the user wrote, from Python maybe no text.
        known: the names that would have worked.

    Returns:
        A text such as ``Did you mean 'gru'? Known: elman, gru, lstm.``
    """
    word, names = str(name), sorted(known)
    close = nearest(word, names)
    hint = f"Did you mean '{close}'?" if close else ""
    if len(names) > _FEW and nearest(word, names, _SURE):
        return hint
    return f"{hint} Known: {', '.join(names) or 'none'}.".lstrip()


def check_choice(what: str, value: object, known: Iterable[str]) -> None:
    """Refuse what is none of the choices.

    Args:
        what: the name of the option.
        value: what the user gave.
        known: what would have worked.

    Raises:
        ConfigError: with the choice that was probably meant in it.
    """
    names = list(known)
    if value not in names:
        raise ConfigError(f"{what}={value} is unknown. {suggest(value, names)}")


def unknown(what: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """Make the error for an unknown name, with the nearest known one in it."""
    return UnknownNameError(f"Unknown {what} '{name}'. {suggest(name, known)}")
