"""The contract of a callback, as far as it can be asked without a run."""

from rnnexp.declared import check_entry
from rnnexp.errors import DeclaredError
from rnnexp.options import REQUIRED
from rnnexp.testing.checks import (
    BrokenError,
    Check,
    DoesNotApplyError,
    PluginSubject,
    check_options_kept,
    check_summary,
)


class CallbackSubject(PluginSubject):
    """A registered callback."""


def check_words(subject: CallbackSubject) -> None:
    """A person can find out what the callback does, from its docstring and its options."""
    entry, look = subject.entry, f"See the docstring of {subject.place}."
    check_summary(entry, look)
    silent = [option.name for option in entry.options if not option.doc]
    if silent:
        raise BrokenError("a line on every option under Args:", f"{silent} without", look)


def check_class(subject: CallbackSubject) -> None:
    """Lightning can call it, and a config can hold its options."""
    try:
        check_entry(subject.entry)
    except DeclaredError as error:
        expected = "a Lightning callback with options that a config holds"
        raise BrokenError(expected, str(error), f"Look at {subject.place}.") from error


def check_made(subject: CallbackSubject) -> None:
    """It can be made with its default options, and leaves them alone; what it raises is found."""
    needed = [option.name for option in subject.entry.options if option.default == REQUIRED]
    if needed:
        given = ", ".join(f"+callbacks.{subject.entry.name}.{name}=VALUE" for name in needed)
        raise DoesNotApplyError(
            f"it has no default for {', '.join(needed)}: a run must say {given}"
        )
    subject.entry.cls()
    check_options_kept(subject.entry, subject.entry.cls)


CALLBACK_CHECKS: tuple[Check[CallbackSubject], ...] = (
    Check("words", "the docstring says what it does, options have texts", check_words),
    Check("class", "a Lightning callback, with options that a config holds", check_class),
    Check("made", "it can be made with its defaults", check_made),
)
