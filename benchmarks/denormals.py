"""What denormal numbers cost, with and without ``flush_denormal``, by each backend.

Two cells whose gradient vanishes, with a loss at the last step alone, float32, one thread:

    fading   the gradient halves every three steps, and is denormal for some 70 of 1000
    denormal the loss is so small that the gradient is denormal wherever it is not zero: the worst
             case

A cell that runs with and without in turns; the shortest of many repetitions counts. The table goes
to ``results/denormals.md``.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.machine import keep, table
from rnnexp.cells import PointwiseCell
from rnnexp.discovery import load_plugins
from rnnexp.recurrence import unroll
from rnnexp.recurrence.backends import reason_against
from rnnexp.registry import REGISTRY
from rnnexp.training.denormals import flush_denormals

STEPS, ROWS, INPUTS, UNITS = 1000, 32, 8, 64
BACKENDS = ("native", "pointwise", "vendor")
CELLS = ("elman", "lstm")
SCALES = {"fading": (0.8, 1.0), "denormal": (0.998, 1e-37)}
"""By which a step multiplies the gradient, about, and by which the loss is multiplied."""
SECONDS = 2.0
Step = Callable[[], None]


def cell_of(name: str, factor: float) -> PointwiseCell:
    """Make a cell whose Jacobian is about ``factor`` times a rotation."""
    torch.manual_seed(0)
    cell = REGISTRY.get("cell", name).cls(INPUTS, hidden_size=UNITS)
    with torch.no_grad():
        if name == "lstm":  # the path through c, by the forget gate; none through the products
            cell.weight_hh.mul_(1e-3)
            cell.gate_bias(1).fill_(torch.logit(torch.tensor(factor)).item())
        else:
            cell.weight_hh.mul_(factor)
        cell.weight_ih.mul_(1e-3)  # near 0 the slope of tanh is 1
    return cell


def step_of(cell: PointwiseCell, scale: float, backend: str) -> Step:
    """Make one forward and backward pass."""
    x_TBI = torch.randn(STEPS, ROWS, INPUTS)

    def step() -> None:
        outputs_TBH = unroll(cell, x_TBI, backend=backend).outputs_TBH
        (outputs_TBH[-1].sum() * scale).backward()

    return step


def share_of_denormals(cell: PointwiseCell, scale: float) -> float:
    """Count the denormal numbers among dL/dh_t, unflushed."""
    flush_denormals(False)
    h = [torch.zeros(ROWS, UNITS)]
    state, x_TBI = cell.initial_state((ROWS,)), torch.randn(STEPS, ROWS, INPUTS)
    for x_BI in x_TBI:
        h_BH, state = cell.step(x_BI, state)
        h.append(h_BH)
    grads: tuple[Tensor, ...] = torch.autograd.grad(h[-1].sum() * scale, h[1:])
    sizes = torch.stack(grads).abs()
    denormal = (sizes > 0) & (sizes < torch.finfo(torch.float32).tiny)
    return float(denormal.double().mean())


def shortest(step: Step) -> dict[bool, float]:
    """Time a pass without and with flushing, in turns."""
    best = {False: float("inf"), True: float("inf")}
    end, turn = time.perf_counter() + SECONDS, 0
    while turn < 3 or time.perf_counter() < end:
        for on in best:
            flush_denormals(on)
            begun = time.perf_counter()
            step()
            best[on] = min(best[on], time.perf_counter() - begun)
        turn += 1
    flush_denormals(False)
    return best


def measure() -> list[list[str]]:
    """Measure every cell by every backend."""
    rows: list[list[str]] = []
    for name in CELLS:
        for kind, (factor, scale) in SCALES.items():
            cell = cell_of(name, factor)
            share = share_of_denormals(cell, scale)
            for backend in BACKENDS:
                if reason_against(backend, cell) is not None:
                    continue
                seconds = shortest(step_of(cell, scale, backend))
                times = [f"{seconds[on] * 1e3:.1f}" for on in (False, True)]
                ratio = f"{seconds[False] / seconds[True]:.2f}"
                rows.append([name, kind, f"{share:.0%}", backend, *times, ratio])
    return rows


def main() -> None:
    """Measure, print the table, and write it to a file."""
    load_plugins()
    torch.set_num_threads(1)
    head = ["cell", "gradient", "denormal dL/dh_t", "backend", "kept, ms", "flushed, ms", "ratio"]
    size = f"(T, B, I, H) = {(STEPS, ROWS, INPUTS, UNITS)}"
    text = (
        f"# Denormal numbers: time of a training step\n\nForward and backward, float32, {size}. "
        "`flush_denormal=true` is the default.\n\n"
    )
    keep("denormals", text + table(head, measure()))


if __name__ == "__main__":
    main()
