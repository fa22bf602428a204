"""The compiled loops of one cell, found by tracing it, and kept as long as the cell lives."""

import ctypes
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence.native.build import build
from rnnexp.recurrence.native.codegen import extras, generate, sums
from rnnexp.recurrence.native.derive import derive
from rnnexp.recurrence.native.trace_update import trace_update


@dataclass(frozen=True, eq=False)
class Kernel:
    """Compiled loops, and the sizes they were made for.

    Args:
        forward: runs a `Call` forward in time.
        backward: runs a `Call` backward in time.
        lanes: numbers per register.
        gates: G.
        states: S.
        extras: E, values per hidden unit saved beside the gates.
        sums: gradients per hidden unit that are summed over time and rows.
        differing: the gates whose dL/d(R h) is not their dL/d(W x).
        call_type: the structure that both loops take.
        theta_of: the tensors that the parameter-only values are made from.
        thetas: makes those values, shape (P, H); None if there are none.
    """

    forward: Callable[[Any], None]
    backward: Callable[[Any], None]
    lanes: int
    gates: int
    states: int
    extras: int
    sums: int
    differing: tuple[int, ...]
    call_type: type[ctypes.Structure]
    theta_of: tuple[Callable[[PointwiseCell], Tensor], ...]
    thetas: Callable[..., Tensor] | None


def make_kernel(cell: PointwiseCell) -> Kernel:
    """Trace, differentiate, write and compile a cell's update, or load what was compiled before.

    Raises:
        UnsupportedError: its update cannot be translated; says why.
        BuildError: it could be, but the machine cannot compile it.
    """
    traced = trace_update(cell)
    adjoint = derive(traced.update)
    source = generate(traced.update, adjoint, cell.weight_ih.dtype == torch.float64)
    library = load_kernel(source)
    return Kernel(
        forward=library.run_forward,
        backward=library.run_backward,
        lanes=library.lanes(),
        gates=cell.num_gates,
        states=cell.num_states,
        extras=extras(traced.update, adjoint),
        sums=sums(traced.update, adjoint),
        differing=adjoint.differing,
        call_type=_call_type(cell.num_states),
        theta_of=tuple(operator.attrgetter(name) for name in traced.theta_names),
        thetas=traced.thetas if traced.update.thetas else None,
    )


@lru_cache(maxsize=256)
def load_kernel(source: str) -> Any:
    """Load compiled loops once per process."""
    library = build(source)
    library.run_forward.restype = library.run_backward.restype = None
    library.lanes.restype = ctypes.c_long
    return library


@lru_cache
def _call_type(states: int) -> type[ctypes.Structure]:
    """Mirror the structure `Call` of loop.c."""
    pointer = ctypes.c_void_p
    longs = ("steps", "rows", "inputs", "units", "threads", "saving")
    given = ("x", "weight_ih", "bias_ih", "weight_hh", "bias_hh", "theta")
    room = ("packed_ih", "packed_hh", "gates", "extra")
    results = ("d_x", "d_weight_ih", "d_weight_hh", "sums", "squares", "norms")
    fields: list[Any] = [
        *((name, ctypes.c_long) for name in longs),
        *((name, pointer) for name in (*given, *room)),
        ("states", pointer * states),
        ("stride", ctypes.c_long * states),
        ("first", pointer * states),
        ("last", pointer * states),
        ("grad_out", pointer),
        ("grad_last", pointer * states),
        ("carry", pointer * states),
        *((name, pointer) for name in results),
    ]
    return type("Call", (ctypes.Structure,), {"_fields_": fields})
