"""The native backend: the compiled time loops of a cell under autograd."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnexp.cells import Cell, PointwiseCell
from rnnexp.recurrence.native.call import Pass, run_backward, run_forward
from rnnexp.recurrence.native.kernel import Kernel, kernel_of
from rnnexp.recurrence.native.workspace import Workspace
from rnnexp.recurrence.trace import Trace
from rnnexp.types import State


def run_native(
    cell: Cell, inputs_TBI: Tensor, state: State, trace: Trace | None = None
) -> tuple[Tensor, State]:
    """Run all time steps in compiled loops, forward and backward.

    Args:
        cell: one that `reason_against` has nothing against.
        inputs_TBI: shape (T, ..., B, I).
        state: S tensors of shape (..., B, H).
        trace: is filled with the norm of dL/dh_t of each step by the backward pass.

    Returns:
        The outputs, shape (T, ..., B, H), and the last state.
    """
    assert isinstance(cell, PointwiseCell)
    kernel = kernel_of(cell)
    assert isinstance(kernel, Kernel)
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
        return cell.weight_hh, cell.bias_hh, None
    thetas = kernel.thetas(*(get(cell) for get in kernel.theta_of))
    return cell.weight_hh, cell.bias_hh, thetas


@dataclass(frozen=True)
class _Settings:
    kernel: Kernel
    saving: bool
    trace: Trace | None


class _Unroll(torch.autograd.Function):
    """All T steps as one node of the graph.

        W x + b of all t, the time loop | the loop backwards, then dL/dW, dL/dR and dL/dx at once

    Without ``weight_ih`` the inputs are W x + b already.
    """

    @staticmethod
    def forward(
        ctx: Any,
        settings: _Settings,
        inputs_TBI: Tensor,
        weight_ih: Tensor | None,
        bias_ih: Tensor | None,
        weight_hh: Tensor,
        bias_hh: Tensor | None,
        thetas: Tensor | None,
        *state: Tensor,
    ) -> tuple[Tensor, ...]:
        this = Pass(settings.kernel, weight_hh, bias_hh, thetas, settings.saving)
        workspace = this.workspace(inputs_TBI.shape[0], inputs_TBI.shape[1])
        _project(inputs_TBI, weight_ih, bias_ih, workspace.tensors[0])
        outputs, last = run_forward(this, workspace, state)
        if settings.saving:
            ctx.set_materialize_grads(False)
            ctx.settings, ctx.workspace = settings, workspace
            ctx.save_for_backward(inputs_TBI, weight_ih, weight_hh, bias_hh, thetas, outputs)
        return outputs, *last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs_TBI, weight_ih, weight_hh, bias_hh, thetas, outputs = ctx.saved_tensors
        settings: _Settings = ctx.settings
        workspace = _taken_from(ctx)
        this = Pass(settings.kernel, weight_hh, bias_hh, thetas, True)
        done = run_backward(this, workspace, outputs, grads, settings.trace is not None)
        if settings.trace is not None:
            settings.trace.grad_norm_T = done.grad_norm_T
        need = ctx.needs_input_grad
        d_wx = workspace.tensors[0].flatten(0, 1).flatten(1)
        d_inputs, d_weight_ih = _input_gradients(d_wx, inputs_TBI, weight_ih, need[1], need[2])
        d_weight_hh = done.weight_gradient() if need[4] else None
        d_bias_ih = done.bias_ih if need[3] else None
        d_bias_hh = done.bias_hh if need[5] else None
        d_thetas = done.thetas if need[6] else None
        workspace.release()
        weights = (d_weight_ih, d_bias_ih, d_weight_hh, d_bias_hh, d_thetas)
        return None, d_inputs, *weights, *done.state


def _project(
    inputs_TBI: Tensor, weight_ih: Tensor | None, bias_ih: Tensor | None, wx_TBGH: Tensor
) -> None:
    flat_wx = wx_TBGH.flatten(0, 1).flatten(1)
    flat_inputs = inputs_TBI.flatten(0, 1)
    if weight_ih is None or bias_ih is None:
        flat_wx.copy_(flat_inputs)
    else:
        torch.addmm(bias_ih, flat_inputs, weight_ih.t(), out=flat_wx)


def _taken_from(ctx: Any) -> Workspace:
    # The backward pass overwrites what was saved; a graph that is kept may need it again.
    keeps = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)()
    if keeps:
        return ctx.workspace.copy()
    workspace, ctx.workspace = ctx.workspace, None
    return workspace


def _input_gradients(
    d_wx: Tensor, inputs_TBI: Tensor, weight_ih: Tensor | None, of_inputs: bool, of_weight: bool
) -> tuple[Tensor | None, Tensor | None]:
    if weight_ih is None:
        return d_wx.clone().view(inputs_TBI.shape), None
    d_inputs = torch.mm(d_wx, weight_ih).view(inputs_TBI.shape) if of_inputs else None
    d_weight = torch.mm(d_wx.t(), inputs_TBI.flatten(0, 1)) if of_weight else None
    return d_inputs, d_weight


def reason_against(cell: Cell) -> str | None:
    """Say why a cell cannot run natively here; None if it can."""
    if not isinstance(cell, PointwiseCell):
        return "only a PointwiseCell can be compiled; this one states its own step."
    if type(cell).project_recurrent is not PointwiseCell.project_recurrent:
        return "its recurrent product is its own (project_recurrent), which is not compiled."
    weight = cell.weight_hh
    if weight.device.type != "cpu":
        return f"its weights are on {weight.device}; native loops run on the CPU."
    if weight.dtype not in (torch.float32, torch.float64):
        return f"its weights are of type {weight.dtype}; native loops know float32 and float64."
    found = _reason_against_mode() or kernel_of(cell)
    return found if isinstance(found, str) else None


def _reason_against_mode() -> str | None:
    if torch.is_autocast_enabled("cpu"):
        return "autocast is on, and native loops compute in the type of the weights."
    if torch.compiler.is_compiling():
        return "torch.compile cannot look into a native loop."
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "torch.func transforms cannot look into a native loop."
    return None
