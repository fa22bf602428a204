"""What the backward passes of an optimizer step have shown of dL/dh_t."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from rnnexp.monitors.groups import cell_name, is_reverse, size_of
from rnnexp.recurrence import Series, Trace
from rnnexp.tasks import Batch

Norms = Mapping[str, Sequence[float]]
"""Norms of dL/dh_t over t, in the order of the sequence, by the name of the cell."""


@dataclass(frozen=True)
class Pass:
    """One backward pass: of the batch of a step, or of one of those that a step accumulates.

    Args:
        batch: what was unrolled, or carried the state to what was.
        traces: one for each cell.
        directions: of the network.
        scale: by which the loss was multiplied before the pass, beside its share of the step.
    """

    batch: Batch
    traces: Sequence[Trace]
    directions: int = 1
    scale: float = 1.0

    @cached_property
    def norms(self) -> Norms:
        """The norms that were shown."""
        return self._shown("grad_norm_T")

    @cached_property
    def entering(self) -> Norms:
        """Those of what enters from above."""
        return self._shown("entering_norm_T")

    @cached_property
    def arriving(self) -> Norms:
        """Those of what arrives of the last that enters, where they were asked for and shown."""
        return self._shown("arriving_norm_T")

    def _shown(self, series: Series) -> Norms:
        shown: dict[str, Tensor | None] = {
            cell_name(i, self.directions): getattr(trace, series)
            for i, trace in enumerate(self.traces)
        }
        # A cell that reads from the end has noted them in its own direction of time.
        return {
            cell: ((norm_T.flip(0) if is_reverse(cell) else norm_T) / self.scale).tolist()
            for cell, norm_T in shown.items()
            if norm_T is not None
        }

    @property
    def after(self) -> int:
        """Steps of the sequence after the batch's."""
        return self.batch.after

    @property
    def seed(self) -> int:
        """The batch's."""
        return self.batch.seed

    @property
    def begin(self) -> int:
        """Steps of the sequence before the first of the norms."""
        steps = self.batch.inputs_TBI.shape[0]
        unrolled = max(map(len, self.norms.values()), default=steps)
        # Without a target until the sequence ends, all but its last window only carries the state.
        return self.batch.before + steps - unrolled


@dataclass(frozen=True)
class Flow:
    """The flow of the gradient through the steps of one place in the sequence.

    Args:
        begin: steps of the sequence before it.
        after: and after it.
        seed: of the batch with the largest norm.
        norms: of all rows of the step that stand at this place.
        entering: likewise, of what enters at each step, where it is known.
        arriving: of what arrives there of the last that enters, where it is known.
    """

    begin: int
    after: int
    seed: int
    norms: Norms
    entering: Norms = field(default_factory=dict[str, Sequence[float]])
    arriving: Norms = field(default_factory=dict[str, Sequence[float]])

    @property
    def peak(self) -> float:
        """The largest norm; one that is not finite is larger than all others."""
        return _peak(self.norms)


def flow_of(each: Pass | Flow) -> Flow:
    """Give what one pass has shown, as numbers that a checkpoint can hold."""
    return Flow(each.begin, each.after, each.seed, each.norms, each.entering, each.arriving)


def flows_of(passes: Iterable[Pass | Flow]) -> list[Flow]:
    """Join the passes of a step by their place in the sequence; none where nothing was shown.

        ||dL/dh_t||^2 = sum over the passes of the squares

    The step's batch is that of all its passes: each of them has rows of its own, and the loss of
    each has been divided by their number. Those of before a resume are flows already.
    """
    places: dict[tuple[int, int], list[Pass | Flow]] = {}
    for each in passes:
        if each.norms:  # windows of before a resume may have had other ends
            places.setdefault((each.begin, each.after), []).append(each)
    return [_joined(place[0], places[place]) for place in sorted(places)]


def _joined(begin: int, passes: Sequence[Pass | Flow]) -> Flow:
    largest = max(passes, key=lambda each: _peak(each.norms))
    norms = _sum([p.norms for p in passes])
    entering, arriving = _sum([p.entering for p in passes]), _sum([p.arriving for p in passes])
    return Flow(begin, largest.after, largest.seed, norms, entering, arriving)


def _sum(of_passes: Sequence[Norms]) -> Norms:
    known = [c for c in of_passes[0] if all(c in norms for norms in of_passes)]
    return {cell: _root_of_squares([norms[cell] for norms in of_passes]) for cell in known}


def _root_of_squares(norms: Sequence[Sequence[float]]) -> Sequence[float]:
    if len(norms) == 1:
        return norms[0]
    return [math.hypot(*at_t) for at_t in zip(*norms, strict=True)]


def _peak(norms: Norms) -> float:
    return max(map(peak_of, norms.values()), default=0.0)


def peak_of(norms_T: Sequence[float]) -> float:
    """Give the largest of some norms; one that is not finite counts as infinite."""
    return max(map(size_of, norms_T), default=0.0)
