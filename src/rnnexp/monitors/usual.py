"""What loss and flow of the gradient have been like lately."""

import math
from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from rnnexp.monitors.passes import Flow, peak_of

LOSSES = 20
"""Losses that the median is taken over."""


class Ends(NamedTuple):
    """How much of a gradient enters a cell, and how large it gets, in a record of the flow.

    Args:
        step: of the record.
        source: the largest norm of what enters at a step; NaN where it is not known.
        peak: the largest ||dL/dh_t||.
        source_sum: over the steps, of the norms of what enters; NaN where it is not known.
        sum: over t, of ||dL/dh_t||; NaN where it is not known.
    """

    step: int
    source: float
    peak: float
    source_sum: float = math.nan  # checkpoints of before the sums were kept have none
    sum: float = math.nan


class Usual:
    """Remember the last losses, and the ends of the last record of the flow."""

    def __init__(self) -> None:
        self._losses = deque[float](maxlen=LOSSES)
        self._ends: dict[str, Ends] = {}

    @property
    def loss(self) -> float:
        """Median of the last losses; NaN before there are enough."""
        return median(self._losses) if len(self._losses) == LOSSES else math.nan

    def note_loss(self, loss: float) -> None:
        """Take the loss of a step; one that is not finite says nothing of the scale."""
        if math.isfinite(loss):
            self._losses.append(loss)

    def note_flow(self, step: int, flows: Sequence[Flow]) -> None:
        """Take the record of a step, by place in the sequence."""
        for flow in flows:
            for cell, norms_T in flow.norms.items():
                source, source_sum = source_of(flow, cell), source_sum_of(flow, cell)
                ends = Ends(step, source, peak_of(norms_T), source_sum, sum(norms_T))
                self._ends[_key(cell, flow.begin)] = ends

    def ends_of(self, cell: str, begin: int) -> Ends | None:
        """Look up what the last record shows of a cell at a place in the sequence."""
        return self._ends.get(_key(cell, begin))

    def state_dict(self) -> dict[str, Any]:
        """Return all that is remembered, as plain lists and numbers."""
        return {
            "losses": list(self._losses),
            "sources": {k: list(v) for k, v in self._ends.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._losses.extend(state["losses"])
        # Older checkpoints have sources that were the norm at the last step, under another name.
        self._ends = {key: Ends(*ends) for key, ends in state.get("sources", {}).items()}


def source_of(flow: Flow, cell: str) -> float:
    """Give the largest norm of what enters a cell at a step; NaN where it is not known."""
    return peak_of(flow.entering[cell]) if cell in flow.entering else math.nan


def source_sum_of(flow: Flow, cell: str) -> float:
    """Sum the norms of what enters a cell over the steps; NaN where they are not known."""
    return sum(flow.entering[cell]) if cell in flow.entering else math.nan


def _key(cell: str, begin: int) -> str:
    return f"{cell}@{begin}"
