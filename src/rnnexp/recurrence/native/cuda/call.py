"""Calls of the two loops of a GPU kernel: memory in, memory out, no autograd."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from rnnexp.recurrence.native.cuda.plan import Plan
from rnnexp.recurrence.native.sources import contiguous, pointer


class Weights(NamedTuple):
    """What both loops read of the cell, all contiguous.

    Args:
        hh: R, shape (recurrent*H, H).
        bias_hh: the bias of R h, if it has one.
        own: what the parameter-only values are made from.
    """

    hh: Tensor
    bias_hh: Tensor | None
    own: tuple[Tensor, ...]


class Record(NamedTuple):
    """What the forward pass leaves.

    Args:
        states: s_0..s_T of each state, shape (T + 1, B, H); of others than h only where `saving`.
        last: s_T of each.
        saved: (T, B, saves, H); None where no backward pass follows.
    """

    states: tuple[Tensor | None, ...]
    last: tuple[Tensor, ...]
    saved: Tensor | None


class GpuGradients(NamedTuple):
    """What the loop backwards finds.

    Args:
        wx: dL/d(W x), shape (T*B, G*H).
        rh: dL/d(R h), shape (T*B, recurrent*H).
        h_TBH: dL/dh_t, where it was asked for.
        first: dL/d(initial state).
        own_BOH: of each row of parameters, still for each row of the batch.
    """

    wx: Tensor
    rh: Tensor
    h_TBH: Tensor | None
    first: tuple[Tensor, ...]
    own_BOH: Tensor


def run_forward(
    plan: Plan, weights: Weights, wx_TBN: Tensor, first: Sequence[Tensor], saving: bool
) -> Record:
    """Run forward in time.

    Args:
        plan: for this number of rows.
        weights: what is multiplied or added.
        wx_TBN: W x + b, contiguous, shape (T, B, G*H).
        first: the initial state, each tensor contiguous.
        saving: whether a backward pass follows.
    """
    kernel, new_empty = plan.kernel, wx_TBN.new_empty
    steps, rows, units = *wx_TBN.shape[:2], kernel.units
    states = tuple(
        new_empty(steps + 1, rows, units) if saving or not i else None for i in range(kernel.states)
    )
    last = tuple(new_empty(rows, units) for _ in states)
    saved = new_empty(steps, rows, kernel.saves, units) if saving else None
    call = _call(plan, weights, states, saved)
    call.steps, call.rows, call.wx = steps, rows, wx_TBN.data_ptr()
    call.first[:] = [s.data_ptr() for s in first]
    call.last[:] = [s.data_ptr() for s in last]
    h_TBH = states[0]
    assert h_TBH is not None
    plan.forward(call, weights.hh, h_TBH, first[0])
    return Record(states, last, saved)


def run_backward(
    plan: Plan,
    weights: Weights,
    states: Sequence[Tensor],
    saved: Tensor,
    grads: Sequence[Tensor | None],
    traced: bool,
) -> GpuGradients:
    """Run backward in time.

    Args:
        plan: as in the forward pass.
        weights: likewise.
        states: s_0..s_T of each state.
        saved: what the forward pass left.
        grads: dL/d(outputs), then dL/d(last state); None where there is none.
        traced: whether dL/dh_t is asked for.
    """
    kernel, new_empty = plan.kernel, saved.new_empty
    steps, rows, _, units = saved.shape
    ready = contiguous(grads)
    wx = new_empty(steps * rows, kernel.gates * units)
    wide = kernel.recurrent * units
    rh = new_empty(steps * rows, wide) if kernel.differs else None
    d_h = new_empty(steps, rows, units) if traced else None
    first = tuple(new_empty(rows, units) for _ in states)
    own_BOH = new_empty(rows, kernel.own, units)
    call = _call(plan, weights, states, saved)
    call.steps, call.rows = steps, rows
    call.grad_out, *call.grad_last[:] = map(pointer, ready)
    call.d_wx, call.d_rh, call.d_h = wx.data_ptr(), pointer(rh), pointer(d_h)
    call.d_first[:] = [s.data_ptr() for s in first]
    call.d_own = own_BOH.data_ptr()
    of_rh = wx[:, :wide] if rh is None else rh
    plan.backward(call, weights.hh, of_rh, first[0])
    return GpuGradients(wx, of_rh, d_h, first, own_BOH)


def _call(
    plan: Plan, weights: Weights, states: Sequence[Tensor | None], saved: Tensor | None
) -> Any:
    """Fill what both loops need of the structure `Call`."""
    call = plan.kernel.call_type()
    call.weight_hh, call.bias_hh = weights.hh.data_ptr(), pointer(weights.bias_hh)
    call.states[:] = [pointer(s) for s in states]
    call.saved = pointer(saved)
    if weights.own:
        rows = plan.kernel.sources.rows_of(weights.own)
        call.own[: len(rows)] = rows
    return call
