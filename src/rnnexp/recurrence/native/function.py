"""The compiled time loops as one node of the autograd graph."""

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence.inside_torch import graph_is_kept
from rnnexp.recurrence.native.call import Wanted, Weights, run_backward, run_forward
from rnnexp.recurrence.native.kernel import Kernel
from rnnexp.recurrence.native.layout import layout_of
from rnnexp.recurrence.native.workspace import Workspace
from rnnexp.recurrence.trace import Trace
from rnnexp.types import State


def unroll_natively(
    kernel: Kernel, cell: PointwiseCell, inputs_TBI: Tensor, state: State, trace: Trace | None
) -> tuple[Tensor, State]:
    """Run a kernel with the weights of its cell.

    Args:
        kernel: the compiled loops.
        cell: the cell that they were made from.
        inputs_TBI: shape (T, ..., B, I).
        state: S tensors of shape (..., B, H).
        trace: is filled with the norm of dL/dh_t of each step by the backward pass.
    """
    lead, units = inputs_TBI.shape[1:-1], cell.hidden_size
    if len(lead) != 1:
        state = tuple(s.reshape(-1, units) for s in state)
    tensors = (*_inputs_and_weights(cell, inputs_TBI), *_recurrent(cell, kernel), *state)
    saving = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    outputs, *last = _Unroll.apply(kernel, saving, trace, *tensors)
    if len(lead) != 1:
        outputs = outputs.reshape(len(outputs), *lead, units)
        last = [s.reshape(*lead, units) for s in last]
    return outputs, tuple(last)


def _inputs_and_weights(cell: PointwiseCell, inputs_TBI: Tensor) -> tuple[Tensor | None, ...]:
    # Without features there is no memory of them to point at, and no product to make.
    if type(cell).project_input is PointwiseCell.project_input and cell.input_size:
        return _with_one_batch_axis(inputs_TBI), cell.weight_ih, cell.bias_ih
    wx, rows = cell.project_input(inputs_TBI), prod(inputs_TBI.shape[1:-1])
    return wx.reshape(len(wx), rows, cell.num_gates * cell.hidden_size), None, None


def _with_one_batch_axis(inputs_TBI: Tensor) -> Tensor:
    if inputs_TBI.dim() == len("TBI"):
        return inputs_TBI
    return inputs_TBI.reshape(len(inputs_TBI), prod(inputs_TBI.shape[1:-1]), inputs_TBI.shape[-1])


def _recurrent(cell: PointwiseCell, kernel: Kernel) -> tuple[Tensor | None, ...]:
    if kernel.thetas is None:
        return cell.full_recurrent_weight(), cell.bias_hh, None
    thetas = kernel.thetas(*(get(cell) for get in kernel.theta_of))
    return cell.full_recurrent_weight(), cell.bias_hh, thetas


_WEIGHTS = len(Weights._fields)
_NO_GRADIENTS = (None, None, None)
"""Those of the kernel, the way of saving and the trace."""
_BEFORE = len(_NO_GRADIENTS)
_STATE = _BEFORE + 1 + _WEIGHTS
"""The place of the inputs, and that of the initial state, among the inputs of the node."""


class _Unroll(torch.autograd.Function):
    """All T steps as one node of the graph.

    Its inputs are the kernel, whether to keep what a backward pass needs, the trace, the sequence,
    those of `Weights`, and the initial state.
    """

    @staticmethod
    def forward(
        ctx: Any,
        kernel: Kernel,
        saving: bool,
        trace: Trace | None,
        inputs_TBI: Tensor,
        *tensors: Tensor | None,
    ) -> tuple[Tensor, ...]:
        inputs_TBI = inputs_TBI.contiguous()
        weights = _contiguous(tensors[:_WEIGHTS])
        state = [s.contiguous() for s in tensors[_WEIGHTS:] if s is not None]
        layout = layout_of(
            kernel,
            *inputs_TBI.shape,
            weights.hh.shape[1],
            weights.ih is None,
            saving,
            inputs_TBI.dtype,
            torch.get_num_threads(),
        )
        memory = Workspace(layout.memory, layout.shape.dtype)
        outputs, last = run_forward(layout, memory, weights, inputs_TBI, state)
        if saving:
            ctx.set_materialize_grads(False)
            ctx.layout, ctx.memory, ctx.trace = layout, memory, trace
            ctx.save_for_backward(outputs, inputs_TBI, *weights)
        return outputs, *last

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  # the decorator's type
        ctx: Any, *grads: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        outputs, inputs_TBI, *rest = ctx.saved_tensors
        layout, memory, trace = ctx.layout, _taken_from(ctx), ctx.trace
        weights, wanted = Weights(*rest), Wanted(*ctx.needs_input_grad[_BEFORE:_STATE])
        traced = trace is not None
        done = run_backward(layout, memory, weights, inputs_TBI, outputs, grads, wanted, traced)
        if trace is not None and done.grad_norm_T is not None:
            trace.note_norms(done.grad_norm_T)
        d_x = done.x
        if layout.shape.projected:
            d_x = memory.held()[: layout.gates].clone().view_as(inputs_TBI)
        memory.release()
        return (*_NO_GRADIENTS, d_x, *done.of_weights(wanted), *done.state)


def _contiguous(tensors: tuple[Tensor | None, ...]) -> Weights:
    ready: list[Any] = [None if t is None else t.contiguous() for t in tensors]
    return Weights(*ready)


def _taken_from(ctx: Any) -> Workspace:
    # The backward pass overwrites what was saved; a graph that is kept may need it again.
    if graph_is_kept():
        return ctx.memory.copy()
    memory, ctx.memory = ctx.memory, None
    return memory
