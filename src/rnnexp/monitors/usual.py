"""What loss and flow of the gradient have been like lately."""

import math
from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from rnnexp.monitors.flow import source_and_peak
from rnnexp.monitors.groups import is_reverse
from rnnexp.monitors.passes import Flow

LOSSES = 20
"""Losses that the median is taken over."""


class Ends(NamedTuple):
    """Where a gradient enters a sequence, and where it is largest, in a record of the flow.

    Args:
        step: of the record.
        source: ||dL/dh_t|| at the last step that has a gradient.
        peak: the largest.
    """

    step: int
    source: float
    peak: float


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
                ends = source_and_peak(norms_T, is_reverse(cell))
                self._ends[_key(cell, flow.begin)] = Ends(step, *ends)

    def ends_of(self, cell: str, begin: int) -> Ends | None:
        """Look up what the last record shows of a cell at a place in the sequence."""
        return self._ends.get(_key(cell, begin))

    def state_dict(self) -> dict[str, Any]:
        """Return all that is remembered, as plain lists and numbers."""
        return {"losses": list(self._losses), "ends": {k: list(v) for k, v in self._ends.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._losses.extend(state["losses"])
        self._ends = {key: Ends(*ends) for key, ends in state["ends"].items()}


def _key(cell: str, begin: int) -> str:
    return f"{cell}@{begin}"
