"""Step by step: a matrix product of torch's, and all that is elementwise in one start."""

import ctypes
from typing import Any

import torch
from torch import Tensor

from rnnexp.recurrence.native.cuda.kernel import GpuKernel
from rnnexp.recurrence.native.cuda.program import load_functions

_THREADS = 256


def step_sizes(kernel: GpuKernel) -> str:
    """Write for the compiler what has to stand in front of `GpuKernel.each_step`."""
    return f"#define UNITS {kernel.units}\n#define THREADS {_THREADS}\n"


class Steps:
    """For an R that does not fit into the registers of a cluster.

    Args:
        kernel: the source.
        rows: B.
        device: the index of the GPU.
    """

    def __init__(self, kernel: GpuKernel, rows: int, device: int) -> None:
        self.kernel, self._rows = kernel, rows
        blocks = -(-rows * kernel.units // _THREADS)
        forward, backward = load_functions(step_sizes(kernel) + kernel.each_step, device)
        self._forward = forward.starter(blocks, _THREADS)
        self._backward = backward.starter(blocks, _THREADS)

    def forward(self, call: Any, weight_hh: Tensor, h_TBH: Tensor, first_BH: Tensor) -> None:
        """Run forward; the arguments are those of `Plan.forward`."""
        product = h_TBH.new_empty(self._rows, len(weight_hh))
        call.product = product.data_ptr()
        weight, before = weight_hh.t(), first_BH
        for t, after in enumerate(h_TBH[1:].unbind(0)):
            torch.mm(before, weight, out=product)
            self._forward(call, ctypes.c_longlong(t))
            before = after

    def backward(self, call: Any, weight_hh: Tensor, d_rh: Tensor, d_first_BH: Tensor) -> None:
        """Run backward; the arguments are those of `Plan.backward`."""
        product = torch.empty_like(d_first_BH)
        sums = d_first_BH.new_empty(self._rows, self.kernel.thetas, self.kernel.units)
        call.product, call.d_theta = product.data_ptr(), sums.data_ptr()
        steps = d_rh.unflatten(0, (call.steps, self._rows)).unbind(0)
        for t in reversed(range(len(steps))):
            self._backward(call, ctypes.c_longlong(t))
            torch.mm(steps[t], weight_hh, out=product)
        d_first_BH += product
