"""A kernel made ready for a number of rows on one GPU."""

from dataclasses import dataclass
from functools import lru_cache

import torch

from rnnexp.recurrence.native.cuda.geometry import Geometry, Limits, ways_to_share
from rnnexp.recurrence.native.cuda.kernel import GpuKernel
from rnnexp.recurrence.native.cuda.program import Program, load_program


@dataclass(frozen=True, eq=False)
class Plan:
    """A kernel made ready for a number of rows on one GPU.

    Args:
        kernel: the source and its sizes.
        geometry: who computes what.
        program: the compiled loops.
    """

    kernel: GpuKernel
    geometry: Geometry
    program: Program

    def clusters(self, rows: int) -> int:
        """Count the clusters that all rows need."""
        return -(-rows // self.geometry.rows)


@lru_cache(maxsize=256)
def plan_of(kernel: GpuKernel, rows: int, device: int) -> Plan:
    """Compile a kernel for a number of rows: as few for each block as all run at once with.

    Raises:
        UnsupportedError: R does not fit into the registers of this GPU.
        BuildError: it cannot be compiled.
    """
    limits, multiprocessors = facts_of(device, kernel.dtype.itemsize)
    ways = list(ways_to_share(kernel.units, kernel.recurrent, limits))
    for geometry in ways:
        # Compiling takes half a second, so that hopeless ones are not: at best all threads that a
        # multiprocessor has registers for are there.
        hoped = multiprocessors * (limits.threads // geometry.threads) // geometry.cluster
        if hoped * geometry.rows >= rows or geometry is ways[-1]:
            plan = _compiled(kernel, geometry, device)
            if plan.program.at_once * geometry.rows >= rows:
                return plan
    return _compiled(kernel, ways[-1], device)


def _compiled(kernel: GpuKernel, geometry: Geometry, device: int) -> Plan:
    number = kernel.dtype.itemsize
    source = geometry.defines(number) + kernel.source
    return Plan(kernel, geometry, load_program(source, geometry, number, device))


@lru_cache
def facts_of(device: int, number: int) -> tuple[Limits, int]:
    """Give the limits of a GPU for numbers of so many bytes, and its multiprocessors."""
    gpu = torch.cuda.get_device_properties(device)
    limits = Limits.of_gpu((gpu.major, gpu.minor), gpu.shared_memory_per_block_optin, number)
    return limits, gpu.multi_processor_count
