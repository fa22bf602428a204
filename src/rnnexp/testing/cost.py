"""What a step of a cell costs: parameters, and multiply-adds in its products."""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from rnnexp.cells import Cell, PointwiseCell


def parameters(cell: Cell) -> int:
    """Count the numbers that are learned."""
    return sum(p.numel() for p in cell.parameters() if p.requires_grad)


def multiply_adds(cell: Cell) -> int:
    """Count the multiply-adds of one step of one row in products and convolutions.

    What is elementwise, some ten operations per unit, is not counted, nor what makes R of other
    parameters: it is done once for all steps and rows.
    """
    like = next(iter((*cell.parameters(), *cell.buffers()))).real
    x_BI = torch.zeros(1, cell.input_size, dtype=like.dtype, device=like.device)
    step = _counted(lambda: cell.step(x_BI, cell.initial_state((1,))))
    return step - (_counted(cell.recurrent_weight) if isinstance(cell, PointwiseCell) else 0)


def _counted(run: Callable[[], object]) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // 2


def carried(cell: Cell) -> int:
    """Count the numbers that the state of one row holds."""
    return sum(s[0].numel() for s in cell.initial_state((1,)))
