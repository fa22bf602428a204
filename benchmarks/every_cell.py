"""Claim: natively, a pointwise cell takes at most 1.5 times the lstm's time by its multiply-adds.

All cells that the native backend runs, at one size of which the products are most of the work:
forward and backward, float32 on the CPU, one thread, each interleaved with the lstm, the shortest
of many repetitions. The multiply-adds of a step are those of the cell's input projection, counted
by torch, and of R. Not counted is what a cell does once per pass to make R of other parameters:
where that is a matrix exponential and there is little else (exp_rnn), the claim fails. So it may
where there is no R and the elementwise part is most of the work (ind_rnn, uni_cornn).
"""

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import keep, table
from benchmarks.recurrence import shortest
from rnnexp.cells import PointwiseCell
from rnnexp.discovery import load_plugins
from rnnexp.recurrence import unroll
from rnnexp.recurrence.backends import reason_against
from rnnexp.registry import REGISTRY

STEPS, ROWS, INPUTS, UNITS = 100, 32, 128, 256
MOST = 1.5
LSTM = "lstm"


def cells() -> dict[str, PointwiseCell]:
    """Make every cell that is trained and runs natively, by name."""
    found: dict[str, PointwiseCell] = {}
    for name in REGISTRY.names("cell"):
        cell = REGISTRY.get("cell", name).cls(INPUTS, hidden_size=UNITS)
        trained = any(p.requires_grad for p in cell.parameters())
        if trained and isinstance(cell, PointwiseCell) and not reason_against("native", cell):
            found[name] = cell
    return found


def multiply_adds(cell: PointwiseCell) -> int:
    """Count those of one step and row, forward."""
    with FlopCounterMode(display=False) as counter:
        cell.project_input(torch.zeros(ROWS, INPUTS))
    return counter.get_total_flops() // (2 * ROWS) + cell.recurrent_weight().numel()


def measure(budget_s: float = 1.0) -> list[list[str]]:
    """Time each cell beside the lstm; a row for each, the best first."""
    x_TBI = torch.randn(STEPS, ROWS, INPUTS)
    made = cells()
    ratios: dict[str, tuple[float, float, float]] = {}
    for name, cell in made.items():
        pair = {"cell": cell, LSTM: made[LSTM]}
        steps = {
            way: lambda cell=cell: unroll(cell, x_TBI, backend="native").outputs_TBH
            for way, cell in pair.items()
        }
        seconds = shortest(steps, budget_s, tuple(pair))
        share = multiply_adds(cell) / multiply_adds(made[LSTM])
        time = seconds["cell"] / seconds[LSTM]
        ratios[name] = time, share, time / share
        print(name, *(f"{figure:.2f}" for figure in ratios[name]), flush=True)
    return [
        [name, f"{time:.2f}", f"{share:.2f}", f"{ratio:.2f}", _verdict(ratio)]
        for name, (time, share, ratio) in sorted(ratios.items(), key=lambda item: item[1][2])
    ]


def _verdict(ratio: float) -> str:
    return f"{'holds' if ratio <= MOST else 'FAILS'} (at most {MOST})"


def main() -> None:
    torch.set_num_threads(1)
    load_plugins()
    head = ["cell", "time / the lstm's", "multiply-adds / the lstm's", "ratio", "claim"]
    keep("every_cell", table(head, measure()))
