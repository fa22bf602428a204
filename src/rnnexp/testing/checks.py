"""What a check of a plugin is, and what it says when the plugin does not pass."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from torch import Tensor

from rnnexp.discovery import place_of
from rnnexp.registry import Entry


@dataclass(frozen=True)
class PluginSubject:
    """A registered plugin, of whatever kind, under examination.

    Args:
        entry: what is registered.
    """

    entry: Entry

    @property
    def place(self) -> str:
        """Where it is written."""
        return self.entry.place


Subject = TypeVar("Subject", bound=PluginSubject)
Status = Literal["ok", "fails", "skipped"]
_LONG = 2.0
"""Seconds from which on a check is a study."""


class BrokenError(AssertionError):
    """A plugin does not keep its contract.

    Args:
        expected: what the contract asks for.
        seen: what came instead.
        look: where to look, and what to try.
    """

    def __init__(self, expected: str, seen: str, look: str) -> None:
        super().__init__(f"expected {expected}; saw {seen}. {look}")
        self.expected, self.seen, self.look = expected, seen, look


class DoesNotApplyError(Exception):
    """A check has nothing to say of this plugin; the message says why."""


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """One promise of a contract.

    Args:
        name: short, with underscores; the name of the test.
        promise: what is promised, in words.
        run: raises `BrokenError` where it is not kept, `DoesNotApplyError` where it cannot be
            asked; may return a remark.
        seconds: about how long it takes, so that the quick ones can come first.
        decisive: whether the checks after it would only say the same again where it fails.
    """

    name: str
    promise: str
    run: Callable[[Subject], str | None]
    seconds: float = 0.1
    decisive: bool = False

    @property
    def is_long(self) -> bool:
        """Whether it is a study: left out of a quick look."""
        return self.seconds >= _LONG


@dataclass(frozen=True)
class Finding:
    """What one check has found.

    Args:
        name: of the check.
        promise: of the check.
        status: how it ended.
        remark: a figure, or why it was skipped.
        broken: what is wrong, where it fails.
    """

    name: str
    promise: str
    status: Status
    remark: str = ""
    broken: BrokenError | None = None


def same_tensor(one: Tensor, two: Tensor) -> bool:
    """Say whether two tensors are equal; NaN, as it marks what is missing, equals NaN."""
    if one.shape != two.shape or one.dtype != two.dtype:
        return False
    return bool(((one == two) | (one.isnan() & two.isnan())).all())


def check_summary(entry: Entry, look: str) -> None:
    """Refuse a docstring that does not begin with a sentence.

    Raises:
        BrokenError: says what it begins with.
    """
    if not entry.summary.endswith((".", ":", "?")):
        raise BrokenError("a first line that is a sentence", repr(entry.summary), look)


def check_options_kept(entry: Entry, make: Callable[..., object]) -> None:
    """Refuse a constructor that changes a list or a mapping that it is given.

    Args:
        entry: the plugin.
        make: calls its constructor with options by name.

    Raises:
        BrokenError: names the option.
    """
    defaults = {o.name: o.default for o in entry.options if isinstance(o.default, (list, dict))}
    given, taken = deepcopy(defaults), deepcopy(defaults)  # such a constructor changes them too
    if taken:
        make(**taken)
    for name, value in given.items():
        if taken[name] != value:
            raise BrokenError(
                f"the option {name} left as it was given, {value!r}",
                f"{taken[name]!r} after the constructor",
                f"Change a copy: copy.deepcopy({name}). Look at {entry.place}.",
            )


def examine(subject: Subject, checks: Sequence[Check[Subject]]) -> Iterator[Finding]:
    """Run checks one after the other; an exception in a plugin is a finding too."""
    decided = False
    for check in checks:
        if decided:
            yield Finding(check.name, check.promise, "skipped", "not asked: see above")
            continue
        finding = _examine(subject, check)
        decided = check.decisive and finding.status == "fails"
        yield finding


def _examine(subject: Subject, check: Check[Subject]) -> Finding:
    try:
        remark = check.run(subject) or ""
    except DoesNotApplyError as reason:
        return Finding(check.name, check.promise, "skipped", str(reason))
    except BrokenError as broken:
        return Finding(check.name, check.promise, "fails", broken=broken)
    except (Exception, SystemExit) as error:  # whatever a plugin raises
        broken = BrokenError(
            "no exception", f"{type(error).__name__}: {error}", _look_at(error, subject.entry)
        )
        return Finding(check.name, check.promise, "fails", broken=broken)
    return Finding(check.name, check.promise, "ok", remark)


def _look_at(error: BaseException, entry: Entry) -> str:
    # What calls a plugin, or is called by it, checks what it is given: the fault is the plugin's.
    return f"Look at {place_of(error, {str(entry.file)}) or entry.place}."
