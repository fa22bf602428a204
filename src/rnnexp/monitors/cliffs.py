"""What a cliff is: a pure rule on the series of raw gradient norms. Imports no torch."""

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from rnnexp.errors import ConfigError

Course = Literal["calm", "spike", "nonfinite"]
"""Whether the latest norm was part of a cliff, and of which kind."""
_NORMAL = 1.4826
"""A normal distribution's standard deviation is this many times its MAD."""


@dataclass(frozen=True)
class Cliff:
    """A step at which the gradient norm left its usual range.

    Args:
        step: the optimizer step.
        kind: ``spike``, or ``nonfinite`` where the norm is NaN or infinite.
        norm: the raw norm.
        ratio: norm over the running median; NaN while there is none.
        median: the running median of the norm; NaN while there is none.
    """

    step: int
    kind: Literal["spike", "nonfinite"]
    norm: float
    ratio: float
    median: float


@dataclass(frozen=True, kw_only=True)
class CliffOptions:
    """How far out of the usual a norm must lie.

    Args:
        level_window: norms that the running median is taken over, and that must be seen before
            anything can be a spike; also the steps after which a spike that does not end is taken
            for a new level.
        spread_window: norms that the spread is taken over.
        deviations: k, how many robust standard deviations above the median.
        ratio: how many times the median at least.
    """

    level_window: int = 20
    spread_window: int = 200
    deviations: float = 5.0
    ratio: float = 8.0

    def __post_init__(self) -> None:
        if min(self.level_window, self.spread_window) < 2:
            raise ConfigError(
                "cliff level_window, spread_window: must be at least 2, "
                f"got {self.level_window} and {self.spread_window}."
            )
        if not (self.deviations > 0 and self.ratio > 1):
            raise ConfigError(
                "cliff deviations, ratio: must be above 0 and above 1, "
                f"got {self.deviations} and {self.ratio}."
            )


class CliffDetector:
    """Tell cliffs from the usual up and down of the gradient norm.

        z_t       = log norm_t
        m_t       = median of the last z before t           level, short: it follows a trend
        s_t       = 1.4826 * MAD of the last z - m          spread, long: it is steady
        begins      z_t > m_t + max(k * s_t, log ratio)
        goes on     z_t > m_t + half of that
        is told     z_t > r_t + log ratio                   r_t: as m_t, of all norms

    Only calm norms enter the windows of m and s, so no cliff moves them; that of r tells a cliff
    from one more of many such norms. The first norms, of which the first m is the median, are the
    first that s is of. All is done on logarithms: the rule is the same for norms around 1e-6 and
    around 1e+6.

    Steps in a row are one cliff, told once; a norm that again exceeds the largest one told by
    ``ratio`` is told too. A cliff that has lasted ``level_window`` steps is a new
    level: the median begins anew with it. NaN and infinite norms in a row are one cliff of their
    own kind. A norm of zero says nothing of the scale and is passed over.

    Args:
        options: how far out of the usual a norm must lie.
    """

    def __init__(self, options: CliffOptions | None = None) -> None:
        self.options = options or CliffOptions()
        self._hard = math.log(self.options.ratio)
        self._level = _Window(self.options.level_window)
        self._spread = _Window(self.options.spread_window)
        self._recent = deque[float](maxlen=self.options.level_window)
        self._high: list[float] = []
        self._told = -math.inf
        self._nonfinite = False

    @property
    def median(self) -> float:
        """The running median of the norm; NaN while there is none."""
        return math.exp(self._level.median()) if self._level.is_full else math.nan

    @property
    def course(self) -> Course:
        """What the latest norm was part of."""
        return "nonfinite" if self._nonfinite else "spike" if self._high else "calm"

    def observe(self, step: int, raw_norm: float) -> Cliff | None:
        """Take the norm of a step, and say whether a cliff begins there.

        Args:
            step: the optimizer step.
            raw_norm: the norm of the whole gradient, before clipping.
        """
        if not math.isfinite(raw_norm):
            return self._observe_nonfinite(step, raw_norm)
        self._nonfinite = False
        return self._observe_finite(step, raw_norm) if raw_norm > 0 else None

    def join(self, ratio: float) -> None:
        """Count the spike that is met as part of a cliff elsewhere.

        Args:
            ratio: the largest one that was told of that cliff, to be exceeded from now on.
        """
        self._told = self._level.median() + math.log(ratio)

    def state_dict(self) -> dict[str, Any]:
        """Return all that is remembered, as plain lists and numbers."""
        return {
            "level": list(self._level.values),
            "spread": list(self._spread.values),
            "recent": list(self._recent),
            "high": list(self._high),
            "told": self._told,
            "nonfinite": self._nonfinite,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._level = _Window(self.options.level_window, state["level"])
        self._spread = _Window(self.options.spread_window, state["spread"])
        recent = state.get("recent", state["level"])  # older states have none
        self._recent = deque(map(float, recent), self.options.level_window)
        self._high = [float(value) for value in state["high"]]
        self._told = float(state["told"])
        self._nonfinite = bool(state["nonfinite"])

    def _observe_nonfinite(self, step: int, norm: float) -> Cliff | None:
        first, self._nonfinite = not self._nonfinite, True
        return self._cliff(step, "nonfinite", norm) if first else None

    def _observe_finite(self, step: int, norm: float) -> Cliff | None:
        z = math.log(norm)
        found = self._compare(step, norm, z) if self._level.is_full else self._warm_up(z)
        self._recent.append(z)
        return found

    def _warm_up(self, z: float) -> None:
        self._level.add(z)
        if self._level.is_full:
            center, first = self._level.median(), self._level.values
            self._spread = _Window(self.options.spread_window, (value - center for value in first))

    def _compare(self, step: int, norm: float, z: float) -> Cliff | None:
        above = z - self._level.median()
        if above > self._lowest(self._hard) and above > self._lowest(self._threshold()):
            return self._climb(step, norm, z)
        self._stay_calm(z, above)
        return None

    def _threshold(self) -> float:
        return max(self.options.deviations * _NORMAL * self._spread.mad(), self._hard)

    def _lowest(self, threshold: float) -> float:
        return threshold / 2 if self._high else threshold

    def _stay_calm(self, z: float, above: float) -> None:
        self._level.add(z)
        self._spread.add(above)
        self._high.clear()

    def _climb(self, step: int, norm: float, z: float) -> Cliff | None:
        found = None
        if not self._high:
            self._told = -math.inf
        if z > max(self._told, median(self._recent)) + self._hard:
            found, self._told = self._cliff(step, "spike", norm), z
        self._high.append(z)
        if len(self._high) >= self.options.level_window:
            self._level = _Window(self.options.level_window, self._high)
            self._high.clear()
        return found

    def _cliff(self, step: int, kind: Literal["spike", "nonfinite"], norm: float) -> Cliff:
        return Cliff(step, kind, norm, norm / self.median, self.median)


class _Window:
    """The last values, in order of arrival and sorted: cheap median and MAD."""

    def __init__(self, size: int, values: Iterable[float] = ()) -> None:
        self.values = deque((float(value) for value in values), size)
        self._sorted = sorted(self.values)

    @property
    def is_full(self) -> bool:
        """Whether a further value drives out the oldest."""
        return len(self.values) == self.values.maxlen

    def add(self, value: float) -> None:
        """Take a value; forget the oldest of a full window."""
        if self.is_full:
            del self._sorted[bisect_left(self._sorted, self.values[0])]
        self.values.append(value)
        insort(self._sorted, value)

    def median(self) -> float:
        """Return the middle value, or the mean of the two in the middle."""
        count = len(self._sorted)
        return (self._sorted[(count - 1) // 2] + self._sorted[count // 2]) / 2

    def mad(self) -> float:
        """Return the upper median of the distances to the median.

        The nearest half of the values stand in a row: the row's begin is found by bisection.
        """
        if not self._sorted:
            return 0.0
        center, values = self.median(), self._sorted
        half = len(values) // 2 + 1
        low, high = 0, len(values) - half
        while low < high:
            middle = (low + high) // 2
            if center - values[middle] > values[middle + half] - center:
                low = middle + 1
            else:
                high = middle
        return max(center - values[low], values[low + half - 1] - center)
