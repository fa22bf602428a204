"""The compiled loops of a GPU as one node of the autograd graph."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence.inside_torch import not_compiled
from rnnexp.recurrence.last_alone import last_alone
from rnnexp.recurrence.native.cuda.call import (
    GpuGradients,
    Weights,
    run_backward,
    run_forward,
)
from rnnexp.recurrence.native.cuda.kernel import GpuKernel
from rnnexp.recurrence.native.cuda.plan import Plan, plan_of
from rnnexp.recurrence.native.sources import Wanted, contiguous, unroll_by, wanted_of
from rnnexp.recurrence.product import require_plain_gradient
from rnnexp.recurrence.trace import Trace, norms_of
from rnnexp.recurrence.workspace import after_first
from rnnexp.types import State


def unroll_on_gpu(
    kernel: GpuKernel, cell: PointwiseCell, inputs_TBI: Tensor, state: State, trace: Trace | None
) -> tuple[Tensor, State]:
    """Run a kernel with the weights of its cell.

    Args:
        kernel: the loops.
        cell: the cell that they were made from.
        inputs_TBI: shape (T, ..., B, I).
        state: S tensors of shape (..., B, H).
        trace: is filled with norms of gradients of each step by the backward pass.
    """
    plan = plan_of(kernel, prod(inputs_TBI.shape[1:-1]), inputs_TBI.get_device())
    alone = cell.moving_states(cell.num_states) == (0,)
    return unroll_by(
        lambda saving, tensors: _Unroll.apply(plan, saving, trace, alone, *tensors),
        kernel.sources,
        cell,
        inputs_TBI,
        state,
    )


_NO_GRADIENTS = (None, None, None, None)
"""Those of the plan, the way of saving, the trace, and whether h moves alone."""


class _Unroll(torch.autograd.Function):
    """All T steps as one node of the graph.

    Its inputs are the plan, whether to keep what a backward pass needs, the trace, whether h is
    all of the state that moves, the inputs, W and b, those of `Weights`, one by one, and the
    initial state.
    """

    @staticmethod
    def forward(
        ctx: Any,
        plan: Plan,
        saving: bool,
        trace: Trace | None,
        alone: bool,
        inputs_TBI: Tensor,
        weight_ih: Tensor | None,
        bias_ih: Tensor | None,
        *tensors: Any,
    ) -> tuple[Tensor, ...]:
        hh, bias_hh, *rest = contiguous(tensors)
        assert hh is not None
        own, first = _parted(plan, rest)
        x, wx = inputs_TBI, inputs_TBI
        if weight_ih is not None:
            wx = torch.nn.functional.linear(x, weight_ih, bias_ih)
        record = run_forward(plan, Weights(hh, bias_hh, own), wx.contiguous(), first, saving)
        h_TBH = record.states[0]
        assert h_TBH is not None
        outputs = after_first(h_TBH)
        if saving:
            ctx.set_materialize_grads(False)
            ctx.plan, ctx.trace, ctx.projected = plan, trace, weight_ih is None
            ctx.alone = alone
            kept = (outputs, None if ctx.projected else x, weight_ih, hh, bias_hh)
            ctx.save_for_backward(*kept, *own, record.saved, *record.states)
        return outputs, *record.last

    @staticmethod
    @not_compiled
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        require_plain_gradient(grads, "native")
        plan, trace = ctx.plan, ctx.trace
        _, x, ih, *kept = ctx.saved_tensors
        # What hooks for saved tensors give is laid out as they like.
        hh, bias_hh, *rest = contiguous(kept)
        assert hh is not None
        own, (saved, *states) = _parted(plan, rest)
        weights = Weights(hh, bias_hh, own)
        # The loops show no gradient of the other tensors of the state.
        last = last_alone(trace, grads[0], len(states)) if ctx.alone else None
        if last is not None:
            _note_arriving(trace, run_backward(plan, weights, states, saved, last, True))
        found = run_backward(plan, weights, states, saved, grads, trace is not None)
        if trace is not None and found.h_TBH is not None:
            trace.note_all(found.h_TBH)
            if grads[0] is not None:
                trace.note_entering(grads[0])
        wanted = wanted_of(ctx.needs_input_grad[len(_NO_GRADIENTS) :], len(own))
        bias_ih, d_bias_hh = _of_biases(plan, found, wanted)
        return (
            *_NO_GRADIENTS,
            *_of_product(found.wx, x, ih, wanted, saved.shape),
            bias_ih,
            found.rh.t() @ states[0][:-1].flatten(0, 1) if wanted.hh else None,
            d_bias_hh,
            *_of_own(found.own_BOH, own, wanted.own),
            *found.first,
        )


def _note_arriving(trace: Trace, found: GpuGradients) -> None:
    assert found.h_TBH is not None
    trace.note_arriving(norms_of([found.h_TBH]), found.first)


def _parted(plan: Plan, rest: Sequence[Any]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Tell what the parameter-only values are made from, from what stands behind it."""
    count = len(plan.kernel.sources.own_of)
    return tuple(rest[:count]), tuple(rest[count:])


def _of_product(
    wx: Tensor, x: Tensor | None, ih: Tensor | None, wanted: Wanted, shape: torch.Size
) -> tuple[Tensor | None, Tensor | None]:
    """Give dL/dx and dL/dW; of inputs that are W x + b already, dL/d(W x)."""
    if x is None or ih is None:
        return wx.view(*shape[:2], wx.shape[1]), None
    return (
        (wx @ ih).view(x.shape) if wanted.x else None,
        wx.t() @ x.reshape(len(wx), x.shape[-1]) if wanted.ih else None,
    )


def _of_biases(
    plan: Plan, found: GpuGradients, wanted: Wanted
) -> tuple[Tensor | None, Tensor | None]:
    """Give dL/db and dL/d(b_r), which are the same sum where dL/d(R h) is dL/d(W x)."""
    if plan.kernel.differs:
        return (
            found.wx.sum(0) if wanted.bias_ih else None,
            found.rh.sum(0) if wanted.bias_hh else None,
        )
    if not (wanted.bias_ih or wanted.bias_hh):
        return None, None
    sums = found.wx.sum(0)
    # A copy: what two parameters have for a gradient, clipping would scale twice.
    of_hh = sums[: found.rh.shape[1]].clone() if wanted.bias_hh else None
    return sums if wanted.bias_ih else None, of_hh


def _of_own(own_BOH: Tensor, own: Sequence[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
    """Sum over the rows of the batch, and give each tensor its part."""
    if not own:
        return []
    units = own_BOH.shape[-1]
    parts = own_BOH.sum(0).split([tensor.numel() // units for tensor in own])
    pairs = zip(parts, own, wanted, strict=True)
    return [part.reshape(tensor.shape) if asked else None for part, tensor, asked in pairs]
