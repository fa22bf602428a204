"""A new kernel against the cell it was made from, on a few random numbers.

A trace cannot see everything: a custom autograd Function, or a part of `update` under no_grad, has
another gradient than its operators have. Such a cell shows itself here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence.native.function import unroll_natively
from rnnexp.recurrence.native.grid import UnsupportedError
from rnnexp.recurrence.native.kernel import Kernel
from rnnexp.types import State

_STEPS, _ROWS = 2, 3
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}
"""Relative to the largest entry. Rounding stays below, also that of torch, which keeps some
constants as float32 (the 1/6 of hardsigmoid); another gradient does not."""


def check_kernel(kernel: Kernel, cell: PointwiseCell) -> None:
    """Compare outputs and gradients.

    Raises:
        UnsupportedError: they differ.
    """
    with torch.inference_mode(False), torch.enable_grad():
        inputs_TBI, state = _random_inputs(cell)
        leaves = [inputs_TBI, *state, *(p for p in cell.parameters() if p.requires_grad)]
        outputs, last = unroll_natively(kernel, cell, inputs_TBI, state, None)
        mine = _with_gradients((outputs, *last), leaves)
        theirs = _with_gradients(_unrolled(cell, inputs_TBI, state), leaves)
    for a, b in zip(mine, theirs, strict=True):
        if not _close(a, b):
            raise UnsupportedError(
                "its update has another value or gradient than its operators have; does it use "
                "an autograd Function of its own, no_grad, or numbers that change?"
            )


def _random_inputs(cell: PointwiseCell) -> tuple[Tensor, State]:
    generator = torch.Generator().manual_seed(0)
    dtype = cell.weight_hh.dtype

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_()

    state = tuple(normal(_ROWS, cell.hidden_size) for _ in range(cell.num_states))
    return normal(_STEPS, _ROWS, cell.input_size), state


def _unrolled(cell: PointwiseCell, inputs_TBI: Tensor, state: State) -> tuple[Tensor, ...]:
    outputs: list[Tensor] = []
    for x_BI in inputs_TBI:
        out_BH, state = cell.step(x_BI, state)
        outputs.append(out_BH)
    return torch.stack(outputs), *state


def _with_gradients(results: Sequence[Tensor], leaves: Sequence[Tensor]) -> list[Tensor]:
    # Weights that differ from entry to entry, so that errors do not cancel.
    loss = sum((r * torch.arange(1.0, r.numel() + 1).to(r).view_as(r).sin()).sum() for r in results)
    assert isinstance(loss, Tensor)
    grads = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    return [r.detach() for r in results] + list(grads)


def _close(a: Tensor, b: Tensor) -> bool:
    largest = b.nan_to_num().abs().max().clamp(min=1e-3).item()
    tolerance = _TOLERANCE[a.dtype]
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance * largest, equal_nan=True)
