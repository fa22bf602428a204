"""The compiled loops of a GPU as one node of the autograd graph."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence.native.cuda.call import Inputs, Plan, plan_of, run_backward, run_forward
from rnnexp.recurrence.native.cuda.kernel import GpuKernel
from rnnexp.recurrence.trace import Trace
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
        trace: is filled with the norm of dL/dh_t of each step by the backward pass.
    """
    lead, units = inputs_TBI.shape[1:-1], cell.hidden_size
    wx = cell.project_input(inputs_TBI)
    wx_TBGH = wx.reshape(len(wx), prod(lead), kernel.gates, units)
    flat = tuple(s.reshape(-1, units) for s in state)
    plan = plan_of(kernel, prod(lead), wx.get_device())
    weights = (kernel.sources.weight_hh(cell), cell.bias_hh)
    tensors = (wx_TBGH, *weights, *kernel.sources.own(cell), *flat)
    saving = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    outputs, *last = _Unroll.apply(plan, saving, trace, *tensors)
    outputs = outputs.reshape(len(outputs), *lead, units)
    return outputs, tuple(s.reshape(*lead, units) for s in last)


class _Unroll(torch.autograd.Function):
    """All T steps as one node of the graph.

    Its inputs are the plan, whether to keep what a backward pass needs, the trace, and those of
    `Inputs`, one by one.
    """

    @staticmethod
    def forward(
        ctx: Any, plan: Plan, saving: bool, trace: Trace | None, *tensors: Tensor | None
    ) -> tuple[Tensor, ...]:
        given = _inputs(plan, [None if t is None else t.contiguous() for t in tensors])
        record = run_forward(plan, given, saving)
        if saving:
            ctx.set_materialize_grads(False)
            ctx.plan, ctx.trace = plan, trace
            # Of W x only the shape is needed, and of the initial state nothing.
            ctx.shape = given.wx_TBGH.shape
            kept = (record.saved, *record.states)
            ctx.save_for_backward(given.weight_hh, given.bias_hh, *given.own, *kept)
        h_TBH = record.states[0]
        assert h_TBH is not None
        return h_TBH[1:], *record.last

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  # the decorator's type
        ctx: Any, *grads: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        plan, trace = ctx.plan, ctx.trace
        weight_hh, bias_hh, *rest = ctx.saved_tensors
        count = len(plan.kernel.sources.own_of)
        own, saved, states = rest[:count], rest[count], rest[count + 1 :]
        # It is not read backwards: any memory of its type tells the shape.
        wx_TBGH = saved.new_empty(1).expand(ctx.shape)
        given = Inputs(wx_TBGH, weight_hh, bias_hh, tuple(own), tuple(s[0] for s in states))
        found = run_backward(plan, given, states, saved, grads, trace is not None)
        if trace is not None and found.h_TBH is not None:
            trace.note_all(found.h_TBH)
        _, _, _, _, wants_hh, wants_bias, *wanted = ctx.needs_input_grad
        rh = found.rh.flatten(0, 1)
        return (
            *(None, None, None, found.wx_TBGH),
            rh.t() @ states[0][:-1].flatten(0, 1) if wants_hh else None,
            rh.sum(0).view(bias_hh.shape) if wants_bias else None,
            *_of_own(found.own_BOH, own, wanted),
            *found.first,
        )


def _inputs(plan: Plan, tensors: Sequence[Any]) -> Inputs:
    wx_TBGH, weight_hh, bias_hh, *rest = tensors
    count = len(plan.kernel.sources.own_of)
    return Inputs(wx_TBGH, weight_hh, bias_hh, tuple(rest[:count]), tuple(rest[count:]))


def _of_own(own_BOH: Tensor, own: Sequence[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
    """Sum over the rows of the batch, and give each tensor its part."""
    if not own:
        return []
    units = own_BOH.shape[-1]
    parts = own_BOH.sum(0).split([tensor.numel() // units for tensor in own])
    pairs = zip(parts, own, wanted, strict=False)
    return [part.reshape(tensor.shape) if asked else None for part, tensor, asked in pairs]
