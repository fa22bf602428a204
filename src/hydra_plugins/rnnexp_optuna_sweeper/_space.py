"""From Hydra's override syntax to dimensions of a search; knows nothing of Optuna."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.errors import CompactHydraException


class SearchError(CompactHydraException):
    """A search that cannot be made as it is asked for, in words."""


@dataclass(frozen=True)
class Choice:
    """Values without an order.

    Args:
        key: of the config.
        texts: the values, as an override has them.
    """

    key: str
    texts: tuple[str, ...]

    @property
    def name(self) -> str:
        """The key without Hydra's mark for a new one."""
        return self.key.lstrip("+")

    def override(self, value: object) -> str:
        """Say a value of it as an override."""
        return f"{self.key}={value}"

    def points(self) -> Sequence[object]:
        """List all of its values."""
        return self.texts

    def ends(self) -> Sequence[object]:
        """List the values that ought to be checked."""
        return self.texts


@dataclass(frozen=True)
class Numbers:
    """Numbers between two bounds, both of them included.

    Args:
        key: of the config.
        low: the smallest.
        high: the largest.
        step: distance of two; None where they are continuous.
        log: whether their logarithms are evenly likely.
    """

    key: str
    low: float
    high: float
    step: float | None = None
    log: bool = False

    @property
    def name(self) -> str:
        """The key without Hydra's mark for a new one."""
        return self.key.lstrip("+")

    @property
    def whole(self) -> bool:
        """Whether they are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def override(self, value: object) -> str:
        """Say a value of it as an override."""
        return f"{self.key}={value!r}"

    def points(self) -> Sequence[object]:
        """List all of its values.

        Raises:
            SearchError: there is no end of them.
        """
        if self.step is None:
            raise SearchError(
                f"sampler=grid needs values that can be counted, and {self.key} is an interval. "
                "List them, or give a range(START,STOP,STEP)."
            )
        count = round((self.high - self.low) / self.step) + 1
        return [self.low + i * self.step for i in range(count)]

    def ends(self) -> Sequence[object]:
        """List the values that ought to be checked."""
        return (self.low, self.high)


Dimension = Choice | Numbers


def split(overrides: Sequence[Override]) -> tuple[list[str], list[Dimension]]:
    """Part overrides into those that hold for all trials, and what is searched.

    Raises:
        SearchError: nothing is searched, or a dimension is not well formed.
    """
    latest = {o.get_key_element(): o for o in overrides}.values()  # the last one wins, as in Hydra
    fixed = [o.input_line or "" for o in latest if not o.is_sweep_override()]
    space = [_dimension(o) for o in latest if o.is_sweep_override()]
    if not space:
        raise SearchError(
            "hydra/sweeper=optuna has nothing to search: no key has more than one value. Give it "
            "some, such as 'optimizer.lr=tag(log,interval(1e-4,1e-1))' or cell=gru,lstm."
        )
    return fixed, space


def _dimension(override: Override) -> Dimension:
    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        return _interval(key, value)
    if isinstance(value, RangeSweep):
        return _range(key, value)
    if isinstance(value, ChoiceSweep):
        value.shuffle = False  # Optuna knows a choice by the order of its values
    if override.is_choice_sweep() and (isinstance(value, ChoiceSweep) or override.config_loader):
        return Choice(key, tuple(dict.fromkeys(override.sweep_string_iterator())))
    raise SearchError(f"{override.input_line}: cannot be searched. List the values: {key}=A,B.")


def _interval(key: str, value: IntervalSweep) -> Numbers:
    low, high, log = value.start, value.end, _is_log(key, value.tags)
    assert low is not None
    assert high is not None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise SearchError(f"{key}: an interval goes from a number to a larger one: {low}, {high}.")
    if log and low <= 0:
        raise SearchError(f"{key}: a logarithmic interval begins above 0, not at {low}.")
    whole = isinstance(low, int) and isinstance(high, int)
    return Numbers(key, low, high, 1 if whole else None, log)


def _range(key: str, value: RangeSweep) -> Numbers:
    values = sorted(value.range())
    if not values:
        raise SearchError(f"{key}: the range has no values.")
    if _is_log(key, value.tags):
        raise SearchError(f"{key}: a range has steps; for log take tag(log,interval(LOW,HIGH)).")
    whole = all(isinstance(v, int) for v in values)
    numbers = [int(v) if whole else float(v) for v in values]
    return Numbers(key, numbers[0], numbers[-1], abs(value.step) if value.step else 1)


def _is_log(key: str, tags: set[str]) -> bool:
    if tags - {"log"}:
        raise SearchError(f"{key}: unknown tag {', '.join(sorted(tags))}. Known: log.")
    return "log" in tags
