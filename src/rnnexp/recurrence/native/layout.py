"""Where everything lies in memory, for one kernel and one shape: found once, used at each run."""

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from rnnexp.recurrence.native.kernel import Kernel

WORTH_A_THREAD = 1_000_000
"""Multiply-adds for each thread: with fewer, to wake it costs more than it saves."""


@dataclass(frozen=True)
class Shape:
    """What a run is made for.

    Args:
        steps: T.
        rows: B.
        inputs: I; of inputs that are W x + b already, G*H.
        units: H.
        projected: whether the inputs are W x + b already.
        saving: whether a backward pass follows.
        dtype: of all numbers.
        threads: how many may share the rows.
    """

    steps: int
    rows: int
    inputs: int
    units: int
    projected: bool
    saving: bool
    dtype: torch.dtype
    threads: int


@dataclass(frozen=True, eq=False)
class Layout:
    """Sizes and places of the memory of a run, in numbers and in bytes.

    Args:
        kernel: the compiled loops.
        shape: what it is for.
        template: a `Call` whose sizes and strides are filled in; copied for each call.
        gates: numbers of (T, B, G, H), with which the memory of a run begins.
        memory: numbers in that memory.
        extra_at: bytes from its beginning to (T, B, E, H).
        states_at: likewise to each state tensor beside h.
        scratch: numbers of scratch memory, needed within a loop only.
        packed_ih_at: bytes from its beginning to W in panels, behind R in panels.
        theta_at: likewise to the parameter-only values.
        filled: H filled up to whole registers.
    """

    kernel: Kernel
    shape: Shape
    template: ctypes.Structure
    gates: int
    memory: int
    extra_at: int
    states_at: tuple[int, ...]
    scratch: int
    packed_ih_at: int
    theta_at: int
    filled: int

    def new_call(self) -> Any:
        """Make the structure that the loops take, its sizes and strides filled in."""
        return type(self.template).from_buffer_copy(self.template)


@lru_cache(maxsize=256)
def layout_of(
    kernel: Kernel,
    steps: int,
    rows: int,
    inputs: int,
    units: int,
    projected: bool,
    saving: bool,
    dtype: torch.dtype,
    threads: int,
) -> Layout:
    """Lay out the memory of a run; the arguments are the fields of `Shape`."""
    per_unit = kernel.recurrent * units + (0 if projected else kernel.gates * inputs)
    work = steps * rows * units * per_unit
    threads = max(1, min(threads, rows, work // WORTH_A_THREAD))
    shape = Shape(steps, rows, inputs, units, projected, saving, dtype, threads)
    size = 8 if dtype == torch.float64 else 4
    kept = steps if saving else 0
    gates = steps * rows * kernel.gates * units
    extra = kept * rows * kernel.extras * units
    state = (kept + 1) * rows * units
    others = kernel.states - 1
    recurrent, wide = _scratch(kernel, shape)
    return Layout(
        kernel=kernel,
        shape=shape,
        template=_template(kernel, shape),
        gates=gates,
        memory=gates + extra + others * state,
        extra_at=gates * size,
        states_at=tuple((gates + extra + i * state) * size for i in range(others)),
        scratch=recurrent + wide + kernel.thetas * units,
        packed_ih_at=recurrent * size,
        theta_at=(recurrent + wide) * size,
        filled=_filled(units, kernel.lanes),
    )


def _scratch(kernel: Kernel, shape: Shape) -> tuple[int, int]:
    """Count the numbers of R in panels, and of W in panels either way."""
    units, inputs = shape.units, 0 if shape.projected else shape.inputs
    gates, columns = kernel.gates, _filled(units, kernel.lanes)
    back = gates * units * _filled(inputs, kernel.lanes)
    wide = max(gates * columns * inputs, back)
    return kernel.recurrent * columns * units, wide


def _template(kernel: Kernel, shape: Shape) -> ctypes.Structure:
    call = kernel.call_type()
    call.steps, call.rows, call.units = shape.steps, shape.rows, shape.units
    call.inputs, call.threads, call.saving = shape.inputs, shape.threads, shape.saving
    row = shape.rows * shape.units
    call.stride[:] = [row] + [row if shape.saving else 0] * (kernel.states - 1)
    return call


def _filled(count: int, lanes: int) -> int:
    return -(-count // lanes) * lanes
