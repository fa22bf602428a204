"""Calls of a kernel's two loops: memory in, memory out, no autograd."""

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from rnnexp.recurrence.native.kernel import Kernel
from rnnexp.recurrence.native.workspace import Workspace

_WORTH_A_THREAD = 200_000
"""Multiply-adds below which starting a second thread costs more than it saves."""


@dataclass(frozen=True)
class Pass:
    """A kernel with the weights of one run.

    Args:
        kernel: the compiled loops.
        weight_hh: R, shape (G*H, H).
        bias_hh: the bias of R h, if it has one.
        thetas: the parameter-only values, shape (P, H).
        saving: whether a backward pass follows.
    """

    kernel: Kernel
    weight_hh: Tensor
    bias_hh: Tensor | None
    thetas: Tensor | None
    saving: bool

    def workspace(self, steps: int, rows: int) -> Workspace:
        """Take room for (T, B, G, H), (T, B, E, H) and the states beside h."""
        kernel, units = self.kernel, self.weight_hh.shape[1]
        kept = steps if self.saving else 0
        shapes = [(steps, rows, kernel.gates, units), (kept, rows, kernel.extras, units)]
        shapes += [(kept + 1, rows, units)] * (kernel.states - 1)
        return Workspace(shapes, self.weight_hh.dtype)

    def describe(self, workspace: Workspace, outputs_TBH: Tensor, packed: Tensor) -> Any:
        """Fill what both loops need of the structure `Call`."""
        steps, rows, units = outputs_TBH.shape
        call = self.kernel.call_type()
        call.steps, call.rows, call.units = steps, rows, units
        call.threads, call.saving = _threads(steps, rows, self.weight_hh.numel()), self.saving
        gates, extra, *others = workspace.tensors
        call.gates, call.extra = gates.data_ptr(), extra.data_ptr()
        row = rows * units
        call.states[0] = outputs_TBH.data_ptr() - row * outputs_TBH.element_size()
        call.stride[0] = row
        for i, state in enumerate(others, 1):
            call.states[i], call.stride[i] = state.data_ptr(), row if self.saving else 0
        call.packed = packed.data_ptr()
        return call

    def pointers(self, call: Any) -> list[Tensor]:
        """Fill in the weights; returns what must stay alive during the call."""
        alive = [self.weight_hh.contiguous()]
        call.weight = alive[0].data_ptr()
        for name, tensor in (("bias", self.bias_hh), ("theta", self.thetas)):
            if tensor is not None:
                alive.append(tensor.contiguous())
                setattr(call, name, alive[-1].data_ptr())
        return alive

    def room_for_panels(self) -> Workspace:
        """Take room for R with its columns filled up to whole registers."""
        rows, units = self.weight_hh.shape
        filled = -(-units // self.kernel.lanes) * self.kernel.lanes
        return Workspace([(rows * filled,)], self.weight_hh.dtype)


def _threads(steps: int, rows: int, weights: int) -> int:
    if steps * rows * weights < _WORTH_A_THREAD:
        return 1
    return max(1, min(torch.get_num_threads(), rows))


def run_forward(
    this: Pass, workspace: Workspace, state: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Run forward in time; the workspace holds W x + b, and then what the way back needs.

    Returns:
        The outputs, shape (T, B, H), and the last state.
    """
    steps, rows = workspace.tensors[0].shape[:2]
    h_TBH = state[0].new_empty(steps + 1, rows, this.weight_hh.shape[1])
    firsts = [h_TBH[0], *(other[0] for other in workspace.tensors[2:])]
    for first, given in zip(firsts, state, strict=True):
        first.copy_(given)
    outputs_TBH = h_TBH[1:]
    panels = this.room_for_panels()
    call = this.describe(workspace, outputs_TBH, panels.tensors[0])
    alive = this.pointers(call)
    this.kernel.forward(ctypes.byref(call))
    del alive
    last = [outputs_TBH[-1].clone(), *(other[-1].clone() for other in workspace.tensors[2:])]
    return outputs_TBH, last


@dataclass(frozen=True)
class Gradients:
    """What the loop backwards found; dL/d(wx) and dL/d(rh) are in the workspace.

    Args:
        kernel: the compiled loops.
        workspace: of this pass.
        past_NH: h_{t-1} of all steps and rows, shape (T*B, H).
        sums: gradients summed over time and rows, shape (sums, H).
        state: dL/d(initial state).
        grad_norm_T: the norm of dL/dh_t, if asked for.
    """

    kernel: Kernel
    workspace: Workspace
    past_NH: Tensor
    sums: Tensor
    state: tuple[Tensor, ...]
    grad_norm_T: Tensor | None

    @property
    def bias_ih(self) -> Tensor:
        """dL/d(b), shape (G*H,)."""
        return self.sums[: self.kernel.gates].flatten()

    @property
    def bias_hh(self) -> Tensor:
        """dL/d(b_r), shape (G*H,)."""
        gates = self.sums[: self.kernel.gates].clone()
        for slot, gate in enumerate(self.kernel.differing):
            gates[gate] = self.sums[self.kernel.gates + slot]
        return gates.flatten()

    @property
    def thetas(self) -> Tensor:
        """dL/d(thetas), shape (P, H)."""
        return self.sums[self.kernel.gates + len(self.kernel.differing) :]

    def weight_gradient(self) -> Tensor:
        """dL/dR = sum over t of dL/d(rh_t) h_{t-1}^T, shape (G*H, H)."""
        parts = [torch.mm(part.t(), self.past_NH) for part in self._recurrent_parts()]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _recurrent_parts(self) -> Iterator[Tensor]:
        """Cut dL/d(rh) into runs of gates that lie beside each other, shape (T*B, g*H)."""
        gates, extra = (tensor.flatten(0, 1) for tensor in self.workspace.tensors[:2])
        differing = self.kernel.differing
        for apart, run in groupby(range(self.kernel.gates), differing.__contains__):
            numbers = list(run)
            source = extra if apart else gates
            first = differing.index(numbers[0]) if apart else numbers[0]
            yield source[:, first : first + len(numbers)].flatten(1)


def run_backward(
    this: Pass,
    workspace: Workspace,
    outputs_TBH: Tensor,
    grads: Sequence[Tensor | None],
    traced: bool,
) -> Gradients:
    """Run backward in time.

    Args:
        this: the kernel and its weights.
        workspace: as the forward pass left it; is overwritten with gradients.
        outputs_TBH: what the forward pass returned.
        grads: dL/d(outputs), then dL/d(last state); None where there is none.
        traced: whether the norms of dL/dh_t are wanted.
    """
    steps, rows, units = outputs_TBH.shape
    panels = this.room_for_panels()
    call = this.describe(workspace, outputs_TBH, panels.tensors[0])
    alive = this.pointers(call)
    carry = [_or_zeros(grad, outputs_TBH[0]) for grad in grads[1:]]
    call.carry[:] = [tensor.data_ptr() for tensor in carry]
    if grads[0] is not None:
        alive.append(grads[0].contiguous())
        call.grad_out = alive[-1].data_ptr()
    sums = outputs_TBH.new_zeros(call.threads, this.kernel.sums, units)
    squares = outputs_TBH.new_zeros(call.threads, steps, dtype=torch.float64) if traced else None
    call.sums, call.squares = sums.data_ptr(), None if squares is None else squares.data_ptr()
    this.kernel.backward(ctypes.byref(call))
    norm_T = None if squares is None else squares.sum(0).sqrt().to(sums.dtype)
    past_NH = outputs_TBH.as_strided(
        (steps * rows, units), (units, 1), outputs_TBH.storage_offset() - rows * units
    )
    return Gradients(this.kernel, workspace, past_NH, sums.sum(0), tuple(carry), norm_T)


def _or_zeros(grad: Tensor | None, like: Tensor) -> Tensor:
    # A copy in any case: the loop writes dL/d(initial state) over it.
    if grad is None:
        return torch.zeros_like(like)
    return grad.clone(memory_format=torch.contiguous_format)
