"""The native backend on a GPU: the compiled time loops of a cell, where it can have them."""

from torch import Tensor

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence.check import Remembered
from rnnexp.recurrence.native.attempt import made_or_reason
from rnnexp.recurrence.native.build import say_once
from rnnexp.recurrence.native.cuda.compiler import reason_against_gpu
from rnnexp.recurrence.native.cuda.function import unroll_on_gpu
from rnnexp.recurrence.native.cuda.kernel import GpuKernel, make_gpu_kernel
from rnnexp.recurrence.native.cuda.steps import Steps
from rnnexp.recurrence.trace import Trace
from rnnexp.types import State


def run_on_gpu(
    cell: PointwiseCell, inputs_TBI: Tensor, state: State, trace: Trace | None
) -> tuple[Tensor, State]:
    """Run all time steps in compiled loops; the arguments are those of `run_native`."""
    kernel = _kernels.of(cell)
    assert isinstance(kernel, GpuKernel)
    return unroll_on_gpu(kernel, cell, inputs_TBI, state, trace)


def reason_against(cell: PointwiseCell) -> str | None:
    """Say why a cell whose weights are on a GPU cannot run natively there; None if it can."""
    missing = reason_against_gpu()
    if missing is not None:
        say_once(missing)
        return missing
    found = _kernels.of(cell)
    return found if isinstance(found, str) else None


def _made(cell: PointwiseCell) -> GpuKernel | str:
    return made_or_reason(cell, _make, unroll_on_gpu)


def _make(cell: PointwiseCell) -> GpuKernel:
    kernel = make_gpu_kernel(cell)
    # Other numbers of rows may need other programs than the rows that it is tried on: then the one
    # that suits all of them is there.
    Steps(kernel, 0, cell.weight_ih.get_device())
    return kernel


_kernels = Remembered(_made, lasting=lambda found: isinstance(found, GpuKernel))
"""The kernel of a cell; the reason in words where there can be none."""
