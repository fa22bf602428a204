"""Calls of a kernel's two loops: memory in, memory out, no autograd."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rnnexp.recurrence.native.kernel import Kernel
from rnnexp.recurrence.native.workspace import Workspace

WORTH_A_THREAD = 200_000
"""Multiply-adds below which starting a second thread costs more than it saves."""


@dataclass(frozen=True)
class Weights:
    """What a pass multiplies by and adds, all contiguous.

    Args:
        ih: W, shape (G*H, I); None where the inputs are W x + b already.
        bias_ih: b, shape (G*H,).
        hh: R, shape (G*H, H).
        bias_hh: the bias of R h, if it has one.
        thetas: the parameter-only values, shape (P, H).
    """

    ih: Tensor | None
    bias_ih: Tensor | None
    hh: Tensor
    bias_hh: Tensor | None
    thetas: Tensor | None

    @classmethod
    def of(cls, *tensors: Tensor | None) -> "Weights":
        """Take the tensors in the order of the fields, as contiguous ones."""
        made: list[Any] = [None if t is None else t.contiguous() for t in tensors]
        return cls(*made)


@dataclass(frozen=True)
class Wanted:
    """Which gradients of a product are asked for."""

    x: bool
    ih: bool
    hh: bool


@dataclass(frozen=True)
class Gradients:
    """What the loop backwards found; dL/d(wx) is in the workspace.

    Args:
        kernel: the compiled loops.
        sums: gradients summed over time and rows, shape (sums, H).
        x: dL/dx, shape (T, B, I).
        ih: dL/dW, shape (I, G, H or more).
        hh: dL/dR, shape (H, G, H or more).
        state: dL/d(initial state).
        grad_norm_T: the norm of dL/dh_t.
    """

    kernel: Kernel
    sums: Tensor
    x: Tensor | None
    ih: Tensor | None
    hh: Tensor | None
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

    def weight(self, grad: Tensor | None) -> Tensor | None:
        """Bring dL/dW or dL/dR into the shape of the weight, (G*H, I) or (G*H, H)."""
        if grad is None:
            return None
        units = self.sums.shape[1]
        return grad[:, :, :units].permute(1, 2, 0).reshape(-1, grad.shape[0])


@dataclass(frozen=True)
class Pass:
    """A kernel with the weights, inputs and workspace of one run.

    Args:
        kernel: the compiled loops.
        weights: all that is multiplied or added.
        inputs_TBI: contiguous.
        saving: whether a backward pass follows.
    """

    kernel: Kernel
    weights: Weights
    inputs_TBI: Tensor
    saving: bool

    def workspace(self) -> Workspace:
        """Take room for (T, B, G, H), (T, B, E, H) and the states beside h."""
        steps, rows, _ = self.inputs_TBI.shape
        kernel, units = self.kernel, self.weights.hh.shape[1]
        kept = steps if self.saving else 0
        shapes = [(steps, rows, kernel.gates, units), (kept, rows, kernel.extras, units)]
        shapes += [(kept + 1, rows, units)] * (kernel.states - 1)
        return Workspace(shapes, self.weights.hh.dtype)

    def forward(self, workspace: Workspace, state: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Run forward in time; the workspace then holds what the way back needs.

        Returns:
            The outputs, shape (T, B, H), and the last state.
        """
        steps, rows, _ = self.inputs_TBI.shape
        h_TBH = self.inputs_TBI.new_empty(steps + 1, rows, self.weights.hh.shape[1])
        others = workspace.tensors[2:]
        for first, given in zip((h_TBH[0], *(s[0] for s in others)), state, strict=True):
            first.copy_(given)
        outputs_TBH = _after_first(h_TBH)
        if self.weights.ih is None:
            workspace.tensors[0].view(self.inputs_TBI.shape).copy_(self.inputs_TBI)
        call, room = self._describe(workspace, outputs_TBH)
        self.kernel.forward(ctypes.byref(call))
        room.release()
        return outputs_TBH, [outputs_TBH[-1].clone(), *(s[-1].clone() for s in others)]

    def backward(
        self,
        workspace: Workspace,
        outputs_TBH: Tensor,
        grads: Sequence[Tensor | None],
        wanted: Wanted,
        traced: bool,
    ) -> Gradients:
        """Run backward in time.

        Args:
            workspace: as the forward pass left it; overwritten.
            outputs_TBH: what the forward pass returned.
            grads: dL/d(outputs), then dL/d(last state); None where there is none.
            wanted: which gradients are asked for.
            traced: whether the norms of dL/dh_t are.
        """
        call, room = self._describe(workspace, outputs_TBH)
        carry = tuple(_copy_or_zeros(grad, outputs_TBH[0]) for grad in grads[1:])
        call.carry[:] = [tensor.data_ptr() for tensor in carry]
        grad_TBH = None if grads[0] is None else grads[0].contiguous()
        call.grad_out = _pointer(grad_TBH)
        x, ih, hh = self._room_for_gradients(call, wanted)
        sums = outputs_TBH.new_zeros(call.threads, self.kernel.sums, call.units)
        shape = (call.threads, call.steps)  # every entry of which the loop writes
        squares = sums.new_empty(shape, dtype=torch.float64) if traced else None
        call.sums, call.squares = sums.data_ptr(), _pointer(squares)
        self.kernel.backward(ctypes.byref(call))
        room.release()
        norm_T = _norms(squares, sums.dtype)
        whole = sums[0] if call.threads == 1 else sums.sum(0)
        return Gradients(self.kernel, whole, x, ih, hh, carry, norm_T)

    def _describe(self, workspace: Workspace, outputs_TBH: Tensor) -> tuple[Any, Workspace]:
        """Fill what both loops need of the structure `Call`, and take their scratch memory."""
        call = self.kernel.call_type()
        steps, rows, units = outputs_TBH.shape
        call.steps, call.rows, call.units = steps, rows, units
        call.saving, call.inputs = self.saving, self.inputs_TBI.shape[2]
        call.threads = _threads(steps * rows * self.weights.hh.numel(), rows)
        room = self._scratch(call)
        self._point_to_weights(call)
        gates, extra, *others = workspace.tensors
        call.gates, call.extra = gates.data_ptr(), extra.data_ptr()
        # h_0 lies right before the outputs.
        row = rows * units
        call.states[0] = outputs_TBH.data_ptr() - row * outputs_TBH.element_size()
        call.stride[0] = row
        for i, state in enumerate(others, 1):
            call.states[i], call.stride[i] = state.data_ptr(), row if self.saving else 0
        return call, room

    def _point_to_weights(self, call: Any) -> None:
        weights = self.weights
        call.x = None if weights.ih is None else self.inputs_TBI.data_ptr()
        call.weight_ih, call.bias_ih = _pointer(weights.ih), _pointer(weights.bias_ih)
        call.weight_hh, call.bias_hh = _pointer(weights.hh), _pointer(weights.bias_hh)
        call.theta = _pointer(weights.thetas)

    def _scratch(self, call: Any) -> Workspace:
        """Take the scratch memory of both loops as one piece, and point to its three parts."""
        rows, units = self.weights.hh.shape
        inputs = 0 if self.weights.ih is None else self.inputs_TBI.shape[2]
        gates, lanes = self.kernel.gates, self.kernel.lanes
        recurrent = gates * _filled(units, lanes) * units
        wide = max(gates * _filled(units, lanes) * inputs, rows * _filled(inputs, lanes))
        strips = call.threads * self.kernel.deep * (units + inputs)
        room = Workspace([(recurrent + wide + strips,)], self.weights.hh.dtype)
        begin, size = room.tensors[0].data_ptr(), self.weights.hh.element_size()
        call.packed_hh, call.packed_ih = begin, begin + recurrent * size
        call.strips = begin + (recurrent + wide) * size
        return room

    def _room_for_gradients(self, call: Any, wanted: Wanted) -> tuple[Tensor | None, ...]:
        """Take room for the gradients of the two products, and point to it."""
        units, inputs = self.weights.hh.shape[1], self.inputs_TBI.shape[2]
        shape = (self.kernel.gates, _filled(units, self.kernel.lanes))
        new_zeros = self.weights.hh.new_zeros
        x = torch.empty_like(self.inputs_TBI) if wanted.x else None
        ih = new_zeros(inputs, *shape) if wanted.ih else None
        hh = new_zeros(units, *shape) if wanted.hh else None
        call.d_x, call.d_weight_ih, call.d_weight_hh = _pointer(x), _pointer(ih), _pointer(hh)
        return x, ih, hh


def _after_first(h_TBH: Tensor) -> Tensor:
    # The same memory, yet no view: of a view that a Function returns, autograd forbids changes.
    shape = (h_TBH.shape[0] - 1, *h_TBH.shape[1:])
    empty = h_TBH.new_empty(0)
    return empty.set_(h_TBH.untyped_storage(), h_TBH.stride(0), shape, h_TBH.stride())


def _filled(count: int, lanes: int) -> int:
    return -(-count // lanes) * lanes


def _threads(products: int, rows: int) -> int:
    return 1 if products < WORTH_A_THREAD else max(1, min(torch.get_num_threads(), rows))


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _norms(squares: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    if squares is None:
        return None
    return (squares[0] if len(squares) == 1 else squares.sum(0)).sqrt_().to(dtype)


def _copy_or_zeros(grad: Tensor | None, like: Tensor) -> Tensor:
    # A copy in any case: the loop writes dL/d(initial state) over it.
    if grad is None:
        return torch.zeros_like(like)
    return grad.clone(memory_format=torch.contiguous_format)
