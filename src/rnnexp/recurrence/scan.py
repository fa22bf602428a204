"""All time steps of a linear recurrence at once: an associative scan over time.

    s_t = a_t * s_{t-1} + b_t        joins two steps into one of the same form:
    s_{t+1} = (a_{t+1} a_t) * s_{t-1} + (a_{t+1} b_t + b_{t+1})

Joining neighbours halves the number of steps; what is left is scanned in the same way, and the
steps in between follow from their neighbours: 2 log2(T) rounds. Only products of a are taken,
never quotients, so that gates near 0 do no harm.

The backward pass is the same scan, from the last step to the first:

    g_t = dL/ds_t + conj(a_{t+1}) * g_{t+1}        dL/db_t = g_t
    dL/da_t = g_t * conj(s_{t-1})                  dL/ds_0 = conj(a_1) * g_1

Source: Blelloch 1990, "Prefix sums and their applications"; for recurrences in learning: Martin &
    Cundy 2018, "Parallelizing linear recurrent neural nets over sequence length".
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import Cell, LinearCell
from rnnexp.recurrence.inside_torch import what_traces
from rnnexp.recurrence.last_alone import last_alone
from rnnexp.recurrence.product import require_plain_gradient
from rnnexp.recurrence.trace import Trace, norms_of
from rnnexp.types import State

GoBack = Callable[[Tensor], Tensor]
"""Gives dL/ds_t of all steps for what of it does not come from within the scan."""
Note = Callable[[Tensor, Tensor, GoBack, Tensor], None]
"""Takes dL/ds_t, what of it came in, the way back, and the factor from s_1 to s_0."""

_FEW = 16
"""Steps that are done one after the other: rounds would not be faster."""
_WIDE = 4096
"""Numbers of one step, for each thread of a CPU, from which on one step after the other is faster:
rounds read and write all steps three times over, and save only calls."""


def run_scan(
    cell: Cell, inputs_TBI: Tensor, state: State, trace: Trace | None = None
) -> tuple[Tensor, State]:
    """Run a cell that is linear in its state, all steps at once."""
    assert isinstance(cell, LinearCell)
    seen_TBI, past = cell.look_back(inputs_TBI, state)
    a_TBN, b_TBN = cell.coefficients(seen_TBI)
    first_BN = cell.as_number(state[0])
    of_state = trace is not None and cell.gradient_of == "state"
    s_TBN = linear_scan(
        a_TBN, b_TBN, first_BN, _noting(cell, trace) if trace and of_state else None
    )
    outputs_TBH = cell.readout(s_TBN, seen_TBI)
    if trace is not None and outputs_TBH.requires_grad:
        outputs_TBH = outputs_TBH.view_as(outputs_TBH)  # may be s, of which the last state is one
        outputs_TBH.register_hook(trace.note_entering)
        if not of_state:
            outputs_TBH.register_hook(trace.note_all)
    # Copied, so that to keep the last state is not to keep all states.
    return outputs_TBH, (cell.as_carried(s_TBN[-1].clone()), *past)


def reason_against(cell: Cell) -> str | None:
    """Say why a cell cannot run as a scan; None if it can."""
    if not isinstance(cell, LinearCell):
        return "it is no LinearCell, whose state is only multiplied and added to."
    if not cell.is_linear:
        return "with these options its coefficients depend on the state."
    tracing = what_traces()
    return None if tracing is None else f"{tracing} cannot look into its scan."


def linear_scan(a_TBN: Tensor, b_TBN: Tensor, first_BN: Tensor, note: Note | None = None) -> Tensor:
    """Compute ``s_t = a_t * s_{t-1} + b_t`` for all t.

    Args:
        a_TBN: factors, real or complex; may leave out leading axes.
        b_TBN: what is added.
        first_BN: s_0.
        note: is given what the backward pass finds.

    Returns:
        s_1..s_T, shape (T, ..., B, N), of the type of s_0.
    """
    # Under autocast a and b may be of low precision; the state keeps that of the weights.
    b_TBN = b_TBN.to(first_BN.dtype)
    a_TBN = a_TBN.to(first_BN.dtype).expand_as(b_TBN)
    return _Scan.apply(note, a_TBN, b_TBN, first_BN)


def _noting(cell: LinearCell, trace: Trace) -> Note:
    def note(grad_TBN: Tensor, entered_TBN: Tensor, go_back: GoBack, to_first_BN: Tensor) -> None:
        trace.note_all(cell.as_carried(grad_TBN))
        last = last_alone(trace, entered_TBN, 1)
        if last is None:
            return
        alone_TBN, later_BN = last
        begin_TBN = torch.zeros_like(entered_TBN) if alone_TBN is None else alone_TBN
        if later_BN is not None:
            begin_TBN[-1] = later_BN
        way_TBN = go_back(begin_TBN)
        trace.note_arriving(norms_of([way_TBN]), (to_first_BN * way_TBN[0],))

    return note


class _Scan(torch.autograd.Function):
    """The recurrence as one operation of autograd's."""

    @staticmethod
    def forward(
        ctx: Any, note: Note | None, a_TBN: Tensor, b_TBN: Tensor, first_BN: Tensor
    ) -> Tensor:
        """Scan forwards, and keep a and s."""
        s_TBN = scan(a_TBN, b_TBN, first_BN)
        ctx.save_for_backward(a_TBN, first_BN, s_TBN)
        ctx.note = note
        return s_TBN

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Scan backwards."""
        require_plain_gradient(grads, "scan")
        a_TBN, first_BN, s_TBN = ctx.saved_tensors
        a_TBN = a_TBN.conj().resolve_conj() if a_TBN.is_complex() else a_TBN
        g_TBN = _go_back(a_TBN, grads[0])
        if ctx.note is not None:
            ctx.note(g_TBN, grads[0], partial(_go_back, a_TBN), a_TBN[0])
        a_grad = None
        if ctx.needs_input_grad[1]:
            a_grad = torch.empty_like(g_TBN)
            torch.mul(g_TBN[0], first_BN.conj(), out=a_grad[0])
            torch.mul(g_TBN[1:], s_TBN[:-1].conj(), out=a_grad[1:])
        return None, a_grad, g_TBN, a_TBN[0] * g_TBN[0]


def _go_back(a_TBN: Tensor, entered_TBN: Tensor) -> Tensor:
    # g_T is what the loss says of it; the factor on the way to g_t is that of step t+1.
    later_TBN = a_TBN[1:].flip(0)
    backwards = entered_TBN.flip(0)
    rest = scan(later_TBN, backwards[1:], backwards[0])
    return torch.cat([backwards[:1], rest]).flip(0)


def scan(a_TBN: Tensor, b_TBN: Tensor, first_BN: Tensor) -> Tensor:
    """Compute s_1..s_T without a record for autograd."""
    s_TBN = torch.empty_like(b_TBN, memory_format=torch.contiguous_format)
    if len(b_TBN):
        s_TBN[0] = torch.addcmul(b_TBN[0], a_TBN[0], first_BN)
        _join(a_TBN[1:], b_TBN[1:], s_TBN)
    return s_TBN


def _join(a_TBN: Tensor, b_TBN: Tensor, out: Tensor) -> None:
    """Fill out[1:], where out[0] stands before the first step."""
    steps = len(b_TBN)
    if steps <= _FEW or _is_wide(out):
        for a, b, before, after in zip(a_TBN, b_TBN, out, out[1:], strict=False):
            torch.addcmul(b, a, before, out=after)
        return
    even = steps // 2 * 2
    first_a, second_a = a_TBN[:even:2], a_TBN[1:even:2]
    first_b, second_b = b_TBN[:even:2], b_TBN[1:even:2]
    _join(first_a * second_a, torch.addcmul(second_b, second_a, first_b), out[: even + 1 : 2])
    left = out[:steps:2]
    torch.addcmul(b_TBN[::2], a_TBN[::2], left, out=out[1 : steps + 1 : 2])


def _is_wide(s_TBN: Tensor) -> bool:
    return s_TBN.device.type == "cpu" and s_TBN[0].numel() > _WIDE * torch.get_num_threads()
