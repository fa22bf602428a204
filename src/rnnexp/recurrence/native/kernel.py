"""The compiled loops of one cell, found by tracing it, and kept as long as the cell lives."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence.native.build import build
from rnnexp.recurrence.native.codegen import Texts, extras, generate, precision, sums
from rnnexp.recurrence.native.derive import derive
from rnnexp.recurrence.native.sources import Sources
from rnnexp.recurrence.native.trace_update import trace_update

_TEXTS = Texts(
    folder=Path(__file__).with_name("text"),
    before=("vector.c", "product.c"),
    after=("call.c", "given.c", "forward.c", "backward.c", "weights.c", "threads.c"),
)
_MICRO = "micro.c"


@dataclass(frozen=True, eq=False)
class Kernel:
    """Compiled loops, and the sizes they were made for.

    Args:
        forward: runs a `Call` forward in time.
        backward: runs a `Call` backward in time.
        lanes: numbers per register.
        gates: G.
        recurrent: how many of them, the first, have an R.
        states: S.
        extras: E, values per hidden unit saved beside the gates.
        sums: gradients per hidden unit that are summed over time and rows.
        differing: the gates whose dL/d(R h) is not their dL/d(W x).
        call_type: the structure that both loops take.
        thetas: P, values per hidden unit that depend on parameters only.
        sources: what they take from the cell.
    """

    forward: Callable[[Any], None]
    backward: Callable[[Any], None]
    lanes: int
    gates: int
    recurrent: int
    states: int
    extras: int
    sums: int
    differing: tuple[int, ...]
    call_type: type[ctypes.Structure]
    thetas: int
    sources: Sources


def make_kernel(cell: PointwiseCell) -> Kernel:
    """Trace, differentiate, write and compile a cell's update, or load what was compiled before.

    Raises:
        UnsupportedError: its update cannot be translated; says why.
        BuildError: it could be, but the machine cannot compile it.
    """
    traced = trace_update(cell)
    adjoint = derive(traced.update)
    double = cell.weight_ih.dtype == torch.float64
    source = "\n".join([_moves(cell), generate(traced.update, adjoint, double, _TEXTS)])
    library = load_kernel(source, _micros(double))
    return Kernel(
        forward=library.run_forward,
        backward=library.run_backward,
        lanes=library.lanes(),
        gates=cell.num_gates,
        recurrent=traced.update.recurrent,
        states=cell.num_states,
        extras=extras(traced.update, adjoint),
        sums=sums(traced.update, adjoint),
        differing=adjoint.differing,
        call_type=_call_type(cell.num_states, traced.update.own),
        thetas=len(traced.update.thetas),
        sources=Sources.of(traced),
    )


def _moves(cell: PointwiseCell) -> str:
    moving = cell.moving_states(cell.num_states)
    moves = ", ".join(str(int(i in moving)) for i in range(cell.num_states))
    return f"static const int MOVES[] = {{{moves}}};"


def _micros(double: bool) -> str:
    return "\n".join([precision(double), *_TEXTS.read((*_TEXTS.before, _MICRO))])


@lru_cache(maxsize=256)
def load_kernel(source: str, micros: str) -> Any:
    """Load compiled loops once per process.

    Args:
        source: of one cell.
        micros: of the products that they call, which are the same for every cell.
    """
    library, products = build(source), build(micros)
    library.run_forward.restype = library.run_backward.restype = None
    library.lanes.restype = ctypes.c_long
    products.micros.restype = ctypes.c_void_p
    library.use_micros(ctypes.c_void_p(products.micros()))  # ctypes never closes a library
    return library


@lru_cache
def _call_type(states: int, own: int) -> type[ctypes.Structure]:
    """Mirror the structure `Call` of call.c."""
    pointer = ctypes.c_void_p
    longs = ("steps", "rows", "inputs", "units", "threads", "saving")
    given = ("x", "weight_ih", "bias_ih", "weight_hh", "bias_hh")
    room = ("theta", "packed_ih", "packed_hh", "gates", "extra")
    results = ("d_x", "d_weight_ih", "d_weight_hh", "sums", "squares")
    fields: list[Any] = [
        *((name, ctypes.c_long) for name in longs),
        *((name, pointer) for name in given),
        ("own", pointer * max(own, 1)),
        *((name, pointer) for name in room),
        ("states", pointer * states),
        ("stride", ctypes.c_long * states),
        ("first", pointer * states),
        ("last", pointer * states),
        ("grad_out", pointer),
        ("grad_last", pointer * states),
        ("carry", pointer * states),
        *((name, pointer) for name in results),
        ("d_own", pointer * max(own, 1)),
        ("norms", pointer),
    ]
    return type("Call", (ctypes.Structure,), {"_fields_": fields})
