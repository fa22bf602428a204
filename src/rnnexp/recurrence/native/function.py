"""The compiled time loops as one node of the autograd graph."""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence.inside_torch import graph_is_kept
from rnnexp.recurrence.native.call import Pass, Wanted, Weights
from rnnexp.recurrence.native.kernel import Kernel
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
    flat_state = tuple(s.reshape(-1, units) for s in state)
    tensors = (*_inputs_and_weights(cell, inputs_TBI), *_recurrent(cell, kernel), *flat_state)
    saving = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    outputs, *last = _Unroll.apply(_Settings(kernel, saving, trace), *tensors)
    if len(lead) != 1:
        outputs = outputs.reshape(-1, *lead, units)
        last = [s.reshape(*lead, units) for s in last]
    return outputs, tuple(last)


def _inputs_and_weights(cell: PointwiseCell, inputs_TBI: Tensor) -> tuple[Tensor | None, ...]:
    steps = inputs_TBI.shape[0]
    if type(cell).project_input is PointwiseCell.project_input:
        flat_TBI = inputs_TBI.reshape(steps, -1, inputs_TBI.shape[-1])
        return flat_TBI, cell.weight_ih, cell.bias_ih
    wx = cell.project_input(inputs_TBI)
    return wx.reshape(steps, -1, cell.num_gates * cell.hidden_size), None, None


def _recurrent(cell: PointwiseCell, kernel: Kernel) -> tuple[Tensor | None, ...]:
    if kernel.thetas is None:
        return cell.full_recurrent_weight(), cell.bias_hh, None
    thetas = kernel.thetas(*(get(cell) for get in kernel.theta_of))
    return cell.full_recurrent_weight(), cell.bias_hh, thetas


_WEIGHTS = len(fields(Weights))


@dataclass(frozen=True)
class _Settings:
    kernel: Kernel
    saving: bool
    trace: Trace | None


class _Unroll(torch.autograd.Function):
    """All T steps as one node of the graph.

    Its inputs are those of `Weights`, between the sequence and the initial state.
    """

    @staticmethod
    def forward(
        ctx: Any, settings: _Settings, inputs_TBI: Tensor, *tensors: Tensor | None
    ) -> tuple[Tensor, ...]:
        weights, state = tensors[:_WEIGHTS], tensors[_WEIGHTS:]
        this = Pass(settings.kernel, Weights.of(*weights), inputs_TBI.contiguous(), settings.saving)
        workspace = this.workspace()
        outputs, last = this.forward(workspace, [s for s in state if s is not None])
        if settings.saving:
            ctx.set_materialize_grads(False)
            ctx.settings, ctx.workspace = settings, workspace
            ctx.save_for_backward(outputs, inputs_TBI, *weights)
        return outputs, *last

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  # the decorator's type
        ctx: Any, *grads: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        outputs, inputs_TBI, *weights = ctx.saved_tensors
        settings: _Settings = ctx.settings
        workspace = _taken_from(ctx)
        this = Pass(settings.kernel, Weights.of(*weights), inputs_TBI.contiguous(), True)
        _, of_x, of_ih, of_bias_ih, of_hh, of_bias_hh, of_thetas, *_ = ctx.needs_input_grad
        projected = weights[0] is None
        wanted = Wanted(of_x and not projected, of_ih, of_hh)
        done = this.backward(workspace, outputs, grads, wanted, settings.trace is not None)
        if settings.trace is not None and done.grad_norm_T is not None:
            settings.trace.note_norms(done.grad_norm_T)
        d_x = workspace.tensors[0].clone().view_as(inputs_TBI) if projected else done.x
        workspace.release()
        return (
            None,
            d_x,
            done.weight(done.ih),
            done.bias_ih if of_bias_ih else None,
            done.weight(done.hh),
            done.bias_hh if of_bias_hh else None,
            done.thetas if of_thetas else None,
            *done.state,
        )


def _taken_from(ctx: Any) -> Workspace:
    # The backward pass overwrites what was saved; a graph that is kept may need it again.
    if graph_is_kept():
        return ctx.workspace.copy()
    workspace, ctx.workspace = ctx.workspace, None
    return workspace
