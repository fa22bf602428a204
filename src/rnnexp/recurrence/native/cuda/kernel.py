"""What is generated once for a cell: the sources of its loops, without the shape they run on."""

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence.native.codegen import Texts, generate
from rnnexp.recurrence.native.derive import derive
from rnnexp.recurrence.native.sources import Sources
from rnnexp.recurrence.native.trace_update import trace_update

_FOLDER = Path(__file__).with_name("text")
_CLUSTERS = ("cluster.cu", "forward.cu", "backward.cu", "cluster_kernels.cu")
_ALL_STEPS = Texts(_FOLDER, ("scalar.cu",), ("device.cu", "element.cu", *_CLUSTERS))
_EACH_STEP = Texts(_FOLDER, ("scalar.cu",), ("element.cu", "step.cu", "step_kernels.cu"))


@dataclass(frozen=True, eq=False)
class GpuKernel:
    """The sources of both loops, and the sizes of what they read and write.

    Args:
        all_steps: CUDA C++, in front of which the sizes of a `Geometry` have to stand.
        each_step: likewise, of one step.
        dtype: of all numbers.
        units: H.
        gates: G.
        recurrent: how many of them, the first, have an R.
        states: S.
        saves: values per hidden unit and step that the way back needs.
        thetas: values per hidden unit that depend on parameters only.
        own: rows of parameters that those are made from.
        differs: whether dL/d(R h) of some gate is not its dL/d(W x).
        sources: what they take from the cell.
        call_type: the structure that both loops take.
    """

    all_steps: str
    each_step: str
    dtype: torch.dtype
    units: int
    gates: int
    recurrent: int
    states: int
    saves: int
    thetas: int
    own: int
    differs: bool
    sources: Sources
    call_type: type[ctypes.Structure]


def make_gpu_kernel(cell: PointwiseCell) -> GpuKernel:
    """Trace, differentiate and write a cell's update.

    Raises:
        UnsupportedError: its update cannot be translated; says why.
    """
    traced = trace_update(cell)
    update, adjoint = traced.update, derive(traced.update)
    dtype = cell.weight_ih.dtype
    double = dtype == torch.float64
    return GpuKernel(
        all_steps=generate(update, adjoint, double, _ALL_STEPS),
        each_step=generate(update, adjoint, double, _EACH_STEP),
        dtype=dtype,
        units=cell.hidden_size,
        gates=update.gates,
        recurrent=update.recurrent,
        states=len(update.states),
        saves=len(adjoint.saved),
        thetas=len(update.thetas),
        own=update.own,
        differs=bool(adjoint.differing),
        sources=Sources.of(traced),
        call_type=_call_type(len(update.states), update.own),
    )


@lru_cache
def _call_type(states: int, own: int) -> type[ctypes.Structure]:
    """Mirror the structure `Call` of element.cu."""
    pointer = ctypes.c_void_p
    fields: list[Any] = [
        ("steps", ctypes.c_longlong),
        ("rows", ctypes.c_longlong),
        ("wx", pointer),
        ("weight_hh", pointer),
        ("bias_hh", pointer),
        ("own", pointer * max(own, 1)),
        ("first", pointer * states),
        ("saved", pointer),
        ("states", pointer * states),
        ("last", pointer * states),
        ("grad_out", pointer),
        ("grad_last", pointer * states),
        ("d_wx", pointer),
        ("d_rh", pointer),
        ("d_h", pointer),
        ("d_first", pointer * states),
        ("d_own", pointer),
        ("product", pointer),
        ("d_theta", pointer),
    ]
    return type("Call", (ctypes.Structure,), {"_fields_": fields})
