"""A kernel made ready for a number of rows on one GPU: which of two ways it runs, and how."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor

from rnnexp.recurrence.native.build import BuildError, say_once
from rnnexp.recurrence.native.cuda.geometry import Geometry, Limits, ways_to_share
from rnnexp.recurrence.native.cuda.kernel import GpuKernel
from rnnexp.recurrence.native.cuda.program import load_functions
from rnnexp.recurrence.native.cuda.steps import Steps


class Plan(Protocol):
    """How a kernel runs through all steps."""

    kernel: GpuKernel

    def forward(self, call: Any, weight_hh: Tensor, h_TBH: Tensor, first_BH: Tensor) -> None:
        """Run forward.

        Args:
            call: says where everything lies.
            weight_hh: R.
            h_TBH: room for h_0..h_T.
            first_BH: h_0.
        """
        ...

    def backward(self, call: Any, weight_hh: Tensor, d_rh: Tensor, d_first_BH: Tensor) -> None:
        """Run backward.

        Args:
            call: says where everything lies.
            weight_hh: R.
            d_rh: room for dL/d(R h), shape (T*B, recurrent*H).
            d_first_BH: room for dL/dh_0.
        """
        ...


class Clusters:
    """All steps in one start: R stays in the registers of clusters of blocks.

    Args:
        kernel: the source.
        geometry: who computes what.
        rows: B.
        device: the index of the GPU.
    """

    def __init__(self, kernel: GpuKernel, geometry: Geometry, rows: int, device: int) -> None:
        self.kernel = kernel
        number = kernel.dtype.itemsize
        source = geometry.defines(number) + kernel.all_steps
        blocks = -(-rows // geometry.rows) * geometry.cluster
        cluster = geometry.cluster if geometry.recurrent else 1
        size = geometry.threads, geometry.shared(number)
        forward, backward = load_functions(source, device)
        ready = min(f.ready(*size, cluster) for f in (forward, backward))
        self.at_once = ready * cluster // geometry.cluster * geometry.rows
        """Rows that run at the same time."""
        self._forward = forward.starter(blocks, *size)
        self._backward = backward.starter(blocks, *size)

    def forward(self, call: Any, weight_hh: Tensor, h_TBH: Tensor, first_BH: Tensor) -> None:
        """Start the loop forward."""
        del weight_hh, h_TBH, first_BH
        self._forward(call)

    def backward(self, call: Any, weight_hh: Tensor, d_rh: Tensor, d_first_BH: Tensor) -> None:
        """Start the loop backward."""
        del weight_hh, d_rh, d_first_BH
        self._backward(call)


@lru_cache(maxsize=256)
def plan_of(kernel: GpuKernel, rows: int, device: int) -> Plan:
    """Compile a kernel for a number of rows: step by step where no clusters of blocks can run.

    Raises:
        BuildError: it cannot be compiled, or not be loaded.
    """
    limits, multiprocessors = facts_of(device, kernel.dtype.itemsize)
    ways = ways_to_share(kernel.units, kernel.recurrent, limits)
    narrowest = _narrowest(kernel, ways, rows, device, limits.threads * multiprocessors)
    return narrowest or Steps(kernel, rows, device)


def _narrowest(
    kernel: GpuKernel, ways: Sequence[Geometry], rows: int, device: int, threads: int
) -> Clusters | None:
    """Choose as few rows for each block as all run at once with; None where no block can run."""
    chosen = None
    for geometry in ways:
        # Compiling takes half a second, so that hopeless ones are not: at best all threads run
        # that the GPU has registers for.
        at_best = threads // geometry.threads // geometry.cluster * geometry.rows
        if at_best >= rows or geometry is ways[-1]:
            chosen = _clusters(kernel, geometry, rows, device) or chosen
        if chosen is not None and chosen.at_once >= rows:
            break
    return chosen


def _clusters(kernel: GpuKernel, geometry: Geometry, rows: int, device: int) -> Clusters | None:
    try:
        plan = Clusters(kernel, geometry, rows, device)
    except BuildError as error:
        say_once(str(error))
        return None
    return plan if plan.at_once else None


def is_in_one_start(units: int, recurrent: int, dtype: torch.dtype, device: int) -> bool:
    """Tell whether so many gates with an R run through all steps in one start on a GPU."""
    limits, _ = facts_of(device, dtype.itemsize)
    return bool(ways_to_share(units, recurrent, limits))


@lru_cache
def facts_of(device: int, number: int) -> tuple[Limits, int]:
    """Give the limits of a GPU for numbers of so many bytes, and its multiprocessors."""
    gpu = torch.cuda.get_device_properties(device)
    limits = Limits.of_gpu((gpu.major, gpu.minor), gpu.shared_memory_per_block_optin, number)
    return limits, gpu.multi_processor_count
