"""What the backward passes of an optimizer step have shown of dL/dh_t."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from rnnexp.monitors.groups import cell_name, is_reverse, size_of
from rnnexp.recurrence import Trace
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
        shown = {
            cell_name(i, self.directions): trace.grad_norm_T / self.scale
            for i, trace in enumerate(self.traces)
            if trace.grad_norm_T is not None
        }
        # A cell that reads from the end has noted them in its own direction of time.
        return {c: (n_T.flip(0) if is_reverse(c) else n_T).tolist() for c, n_T in shown.items()}

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
    """

    begin: int
    after: int
    seed: int
    norms: Norms

    @property
    def peak(self) -> float:
        """The largest norm; one that is not finite is larger than all others."""
        return _peak(self.norms)


def flow_of(each: Pass | Flow) -> Flow:
    """Give what one pass has shown, as numbers that a checkpoint can hold."""
    return Flow(each.begin, each.after, each.seed, each.norms)


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
    norms = {cell: _root_of_squares([p.norms[cell] for p in passes]) for cell in largest.norms}
    return Flow(begin, largest.after, largest.seed, norms)


def _root_of_squares(norms: Sequence[Sequence[float]]) -> Sequence[float]:
    if len(norms) == 1:
        return norms[0]
    return [math.hypot(*at_t) for at_t in zip(*norms, strict=True)]


def _peak(norms: Norms) -> float:
    return max(map(peak_of, norms.values()), default=0.0)


def peak_of(norms_T: Sequence[float]) -> float:
    """Give the largest of some norms; one that is not finite counts as infinite."""
    return max(map(size_of, norms_T), default=0.0)
