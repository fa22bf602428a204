"""The gradient that enters last, where it also comes back through outputs that are fed back."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from rnnexp.cells import Cell
from rnnexp.recurrence.inside_torch import not_compiled
from rnnexp.recurrence.last_alone import Way
from rnnexp.recurrence.trace import Trace
from rnnexp.types import State


class Around:
    """The ways back through all of a network that runs step by step, for the trace of each cell.

    Args:
        cells: of the network.
        states: of each, before the first step.
        traces: one for each cell; none where nothing is recorded.
    """

    def __init__(
        self, cells: Sequence[Cell], states: Sequence[State], traces: Sequence[Trace] | None
    ) -> None:
        self._traces = traces or ()
        follows = any(trace.follows_last for trace in self._traces)
        each = zip(cells, states, self._traces, strict=True) if follows else ()
        self._ways = [Way(*one) for one in each]

    def through(self, i: int, outputs_TBH: Tensor, state: State) -> State:
        """Give the next step a state of cell i whose gradient is what comes back by it alone."""
        return self._ways[i].through(outputs_TBH, state) if self._ways else state

    def follow(self, outputs: Sequence[Tensor], stacked_TBO: Tensor, fed_BO: Tensor) -> None:
        """Have the backward pass follow the last gradient, if any comes through what is fed back.

        Args:
            outputs: y of each step.
            stacked_TBO: the same in one, as the loss sees it.
            fed_BO: what is fed back after the last step.
        """
        for trace in self._traces:
            trace.fed_back = fed_BO.requires_grad
        if self._ways and fed_BO.requires_grad:
            edges = [get_gradient_edge(output_BO) for output_BO in outputs]
            stacked_TBO.register_hook(partial(self._go_back, edges))

    @not_compiled
    def _go_back(self, edges: Sequence[GradientEdge], entered_TBO: Tensor) -> None:
        steps = entered_TBO.flatten(1).ne(0).any(1).nonzero().flatten().tolist()
        for way in self._ways if steps else ():
            way.go_around(edges[steps[-1]], entered_TBO[steps[-1]], steps[-1], len(edges))
