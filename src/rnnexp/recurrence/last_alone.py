"""The gradient that enters at the last step alone: where a backward pass more begins."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from rnnexp.cells import Cell
from rnnexp.recurrence.inside_torch import not_compiled
from rnnexp.recurrence.trace import Trace, norms_of
from rnnexp.types import State

Edges = tuple[GradientEdge | None, ...]
"""Places of tensors in autograd's graph, which keep no numbers; None where there is none."""


def last_alone(
    trace: Trace | None, outputs_TBH: Tensor | None, states: int
) -> tuple[Tensor | None, ...] | None:
    """Take from the gradients of a run those of the last step that has one.

    Args:
        trace: of the run, which may be a part of a sequence.
        outputs_TBH: dL/d(outputs).
        states: how many tensors the state has.

    Returns:
        dL_n/d(outputs), then dL_n/d(last state), None for zeros; None alone where it is not asked
        for, or where the loss has no gradient here nor at later steps.
    """
    if trace is None or not trace.follows_alone:
        return None
    later = trace.from_later
    if later is not None:  # n is of a later part, which may have had fewer rows
        rows = 0 if outputs_TBH is None else outputs_TBH.shape[1]
        return None, *(_with_rows(grad, rows) for grad in later)
    steps = [] if outputs_TBH is None else outputs_TBH.flatten(1).ne(0).any(1).nonzero().tolist()
    if outputs_TBH is None or not steps:
        return None
    ((n,),) = steps[-1:]
    alone_TBH = torch.zeros_like(outputs_TBH)
    alone_TBH[n] = outputs_TBH[n]
    return alone_TBH, *[None] * states


def _with_rows(grad: Tensor, rows: int) -> Tensor:
    more = rows - len(grad)
    return torch.cat([grad, grad.new_zeros(more, *grad.shape[1:])]) if more > 0 else grad


class Way:
    """The way back through the states of a run by autograd, each as the next step is given it.

    Args:
        cell: any.
        first: the state before the first step.
        trace: is filled with what arrives.
    """

    def __init__(self, cell: Cell, first: State, trace: Trace) -> None:
        self._trace, self._first = trace, first
        self._moving = cell.moving_states(len(first))
        self._of_state = cell.gradient_of == "state"
        self._outputs: list[Edges] = []
        self._made: list[Edges] = []
        self._given: list[Edges] = []

    @not_compiled
    def through(self, out_BH: Tensor, state: State) -> State:
        """Give the next step a state whose gradient is what comes back from there alone."""
        given = state
        if out_BH.requires_grad:
            given = tuple(_apart(s) if i in self._moving else s for i, s in enumerate(state))
        self._outputs.append(_edges((out_BH,)))
        self._made.append(_edges(state))
        self._given.append(_edges(given))
        return given

    def go_back(self, entered_TBH: Tensor) -> None:
        """Take the gradient of the last output that has one back to all states before it."""
        alone = last_alone(self._trace, entered_TBH, len(self._first))
        if alone is None or not any(self._first[i].numel() for i in self._moving):
            return
        alone_TBH, *grads = alone
        norm_T = entered_TBH.new_zeros(len(entered_TBH))
        n, begin, places = len(norm_T), self._given[-1], list(self._given)
        if alone_TBH is not None:
            n = int(alone_TBH.flatten(1).ne(0).any(1).nonzero())
            begin, grads = self._outputs[n], [alone_TBH[n]]
            norm_T[n] = norms_of([alone_TBH[n : n + 1]])[0]
            # What the output is read off has a gradient there; h is the output itself.
            places = [*self._given[:n], *([self._made[n]] if self._of_state else [])]
        first, *found = _gradients(begin, grads, [_edges(self._first), *places])
        for t, of_step in enumerate(found):
            moving = [of_step[i] for i in self._moving]
            known = [grad.unsqueeze(0) for grad in moving if grad is not None]
            norm_T[t] = norms_of(known)[0] if known else 0.0
        pairs = zip(first, self._first, strict=True)
        arrived = tuple(torch.zeros_like(s) if grad is None else grad for grad, s in pairs)
        self._trace.note_arriving(norm_T, arrived)

    def go_around(self, end: GradientEdge, entered_BO: Tensor, n: int, steps: int) -> None:
        """Take the gradient of the network's output back to all states, by all that leads there.

            dL_n/dh_t = what comes back through the output of step t  +  by the state it leaves

        Nothing is noted of a cell whose output is not the first tensor of its state.

        Args:
            end: the network's output at step n.
            entered_BO: dL/dy_n.
            n: the last step that has a gradient.
            steps: T.
        """
        ((alone_TBH,),) = _gradients((end,), [entered_BO], [self._outputs[n]])
        if alone_TBH is None or self._of_state:
            return
        moving = [i for i in self._moving if self._first[i].numel()]
        if moving and self._first[moving[0]].shape != alone_TBH.shape[1:]:
            return
        pairs = zip(self._outputs[:n], self._given[:n], strict=True)
        places = [(*out, *(given[i] for i in moving)) for out, given in pairs]
        norm_T = torch.zeros(steps, dtype=alone_TBH.real.dtype, device=alone_TBH.device)
        norm_T[n] = norms_of([alone_TBH])[0]
        for t, found in enumerate(_gradients(self._outputs[n], [alone_TBH], places)):
            norm_T[t] = _norm_of(*found)
        self._trace.note_arriving(norm_T, ())


def _norm_of(by_output: Tensor | None, *by_state: Tensor | None) -> Tensor:
    flat = [None if grad is None else grad.reshape(1, -1) for grad in (by_output, *by_state)]
    to_h = [grad for grad in flat[:2] if grad is not None]
    of_h = [torch.stack(to_h).sum(0)] if to_h else []
    known = [*of_h, *(grad for grad in flat[2:] if grad is not None)]
    return norms_of(known)[0] if known else torch.zeros(())


def _apart(tensor: Tensor) -> Tensor:
    if tensor.requires_grad:
        return tensor.view_as(tensor)
    # Such as one of the initial state that is handed on: it is a variable of the step all the same.
    derived = tensor.is_floating_point() or tensor.is_complex()
    return tensor.detach().requires_grad_() if derived else tensor


def _edges(tensors: Sequence[Tensor]) -> Edges:
    return tuple(get_gradient_edge(t) if t.requires_grad else None for t in tensors)


def _gradients(
    begin: Edges, grads: Sequence[Tensor | None], places: Sequence[Edges]
) -> list[list[Tensor | None]]:
    """Differentiate, by autograd, what has the gradients ``grads`` at ``begin``."""
    seeds = [
        (edge, g)
        for edge, g in zip(begin, grads, strict=True)
        if edge is not None and g is not None
    ]
    wanted = [edge for edges in places for edge in edges if edge is not None]
    if not seeds or not wanted:
        return [[None] * len(edges) for edges in places]
    outputs, weights = zip(*seeds, strict=True)
    found = iter(
        torch.autograd.grad(outputs, wanted, weights, retain_graph=True, allow_unused=True)
    )
    return [[None if edge is None else next(found) for edge in edges] for edges in places]
