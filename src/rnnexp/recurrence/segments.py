"""Time in segments: rows that have ended drop out, and activations can be computed twice.

A segment is an ordinary run of a backend, from the state the segment before it left.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.checkpoint import checkpoint

from rnnexp.cells import Cell
from rnnexp.recurrence.trace import Trace
from rnnexp.types import State

Run = Callable[[Cell, Tensor, State, Trace | None], tuple[Tensor, State]]
"""Cell, inputs_TBI, state, trace: the outputs of every step, and the last state."""


@dataclass(frozen=True)
class Segment:
    """Steps ``begin`` to ``end - 1`` of the first ``rows`` rows."""

    begin: int
    end: int
    rows: int


def run_segments(
    run: Run,
    cell: Cell,
    inputs_TBI: Tensor,
    state: State,
    trace: Trace | None,
    every: int | None,
    lengths_B: Tensor | None,
) -> tuple[Tensor, State]:
    """Run a cell over time by a backend, one segment after the other.

    Args:
        run: the backend's function.
        cell: as `run` takes it.
        inputs_TBI: likewise.
        state: likewise.
        trace: likewise; the segments fill it in parts.
        every: keep the states between segments of so many steps, and compute what lies within a
            segment again in the backward pass: memory for ``every + T / every`` steps, not T.
        lengths_B: the steps of each row; the outputs beyond are zero, the state is each row's last.

    Source: for the square root of T: Chen et al. 2016, "Training deep nets with sublinear memory
        cost".
    """
    steps, lead = inputs_TBI.shape[0], inputs_TBI.shape[1:-1]
    if lengths_B is not None and bool((lengths_B == steps).all()):
        lengths_B = None
    if prod(lead) == 0 or (lengths_B is None and (every is None or every >= steps)):
        return run(cell, inputs_TBI, state, trace)
    flat_TBI = inputs_TBI.reshape(steps, prod(lead), inputs_TBI.shape[-1])
    flat_state = tuple(s.reshape(prod(lead), *s.shape[len(lead) :]) for s in state)
    work = _Work(_recomputed(run) if every else run, cell, trace, every or steps)
    if lengths_B is None:
        outputs_TBH, last = work.run(flat_TBI, flat_state, [steps] * prod(lead))
    else:
        outputs_TBH, last = work.run_sorted(flat_TBI, flat_state, lengths_B.flatten())
    restored = tuple(s.reshape(*lead, *s.shape[1:]) for s in last)
    return outputs_TBH.reshape(steps, *lead, outputs_TBH.shape[-1]), restored


@dataclass(frozen=True)
class _Work:
    """What is the same for all segments; the batch has one axis here."""

    backend: Run
    cell: Cell
    trace: Trace | None
    every: int

    def run_sorted(
        self, inputs_TBI: Tensor, state: State, lengths_B: Tensor
    ) -> tuple[Tensor, State]:
        """Run rows of different lengths."""
        # The longest first: the rows that still run are then always the first ones.
        lengths_B, order_B = lengths_B.sort(descending=True)
        order_B = order_B.to(inputs_TBI.device)
        outputs_TBH, last = self.run(
            inputs_TBI.index_select(1, order_B),
            tuple(s.index_select(0, order_B) for s in state),
            lengths_B.tolist(),
        )
        back_B = order_B.argsort()
        return outputs_TBH.index_select(1, back_B), tuple(s.index_select(0, back_B) for s in last)

    def run(self, inputs_TBI: Tensor, state: State, lengths: Sequence[int]) -> tuple[Tensor, State]:
        """Run rows that come with the longest first."""
        steps, rows = inputs_TBI.shape[:2]
        outputs: list[Tensor] = []
        ended: list[State] = []
        for segment in plan(lengths, self.every):
            ended.append(tuple(s[segment.rows :] for s in state))
            state = tuple(s[: segment.rows] for s in state)
            part = None if self.trace is None else self.trace.part(segment.begin, steps)
            x = inputs_TBI[segment.begin : segment.end, : segment.rows]
            outputs_TBH, state = self.backend(self.cell, x, state, part)
            outputs.append(pad(outputs_TBH, (0, 0, 0, rows - segment.rows)))
        ended.append(state)
        whole_TBH = torch.cat(outputs)
        whole_TBH = pad(whole_TBH, (0, 0, 0, 0, 0, steps - len(whole_TBH)))
        return whole_TBH, tuple(torch.cat(column) for column in zip(*reversed(ended), strict=True))


def plan(lengths: Sequence[int], every: int) -> list[Segment]:
    """Cut time wherever a row ends, and at each multiple of ``every``.

    Args:
        lengths: of the rows, the longest first.
        every: the longest segment.
    """
    longest = max(lengths, default=0)
    cuts = sorted({*lengths, *range(every, longest, every)})
    begins = [0, *cuts[:-1]]
    return [
        Segment(begin, end, sum(length > begin for length in lengths))
        for begin, end in zip(begins, cuts, strict=True)
    ]


def _recomputed(run: Run) -> Run:
    def recomputed(
        cell: Cell, inputs_TBI: Tensor, state: State, trace: Trace | None
    ) -> tuple[Tensor, State]:
        return checkpoint(run, cell, inputs_TBI, state, trace, use_reentrant=False)

    return recomputed
