"""What it costs to record the norm of dL/dh_t of every time step, at every training step.

Claim: at most 1.05 times the step without, in the native and the pointwise backend. Forward and
backward, from a gradient of all outputs as a readout gives one, float32, one thread. Both run in
turns, and the shortest of many repetitions counts. The table goes to ``results/probe.md``.
"""

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.machine import keep, table
from rnnexp.cells import PointwiseCell
from rnnexp.discovery import load_plugins
from rnnexp.recurrence import Trace, unroll
from rnnexp.recurrence.backends import reason_against
from rnnexp.registry import REGISTRY

SIZES = [(50, 32, 2, 32), (100, 32, 32, 64), (784, 32, 1, 128), (1000, 8, 8, 64)]
CELLS = ("lstm", "elman")
BACKENDS = ("native", "pointwise")
MOST = 1.05
SECONDS = 2.0
LEAST_TURNS = 30


def one(cell: PointwiseCell, x_TBI: Tensor, grad_TBH: Tensor, backend: str, traced: bool) -> float:
    """Time one forward and backward pass."""
    begun = time.perf_counter()
    trace = Trace() if traced else None
    unroll(cell, x_TBI, backend=backend, trace=trace).outputs_TBH.backward(grad_TBH)
    return time.perf_counter() - begun


def row(name: str, size: Sequence[int], backend: str) -> list[str]:
    """Measure one cell at one size."""
    steps, rows, inputs, units = size
    cell = REGISTRY.get("cell", name).cls(inputs, hidden_size=units)
    x_TBI, grad_TBH = torch.randn(steps, rows, inputs), torch.randn(steps, rows, units)
    best = {False: float("inf"), True: float("inf")}
    end, turn = time.perf_counter() + SECONDS, 0
    while turn < LEAST_TURNS or time.perf_counter() < end:
        for traced in (False, True) if turn % 2 else (True, False):
            best[traced] = min(best[traced], one(cell, x_TBI, grad_TBH, backend, traced))
        turn += 1
    ratio = best[True] / best[False]
    times = [f"{best[traced] * 1e3:.3f}" for traced in (False, True)]
    verdict = "holds" if ratio <= MOST else "FAILS"
    return [name, backend, ", ".join(map(str, size)), *times, f"{ratio:.3f}", verdict]


def main() -> None:
    """Measure, print the table, and write it to a file."""
    load_plugins()
    torch.set_num_threads(1)
    rows: list[list[str]] = []
    for backend in BACKENDS:
        for name in CELLS:
            cell = REGISTRY.get("cell", name).cls(2, hidden_size=2)
            if reason_against(backend, cell) is None:
                rows += [row(name, size, backend) for size in SIZES]
    head = ["cell", "backend", "T, B, I, H", "without, ms", "with, ms", "ratio"]
    keep("probe", "# Cost of the probe\n\n" + table([*head, f"at most {MOST}"], rows))


if __name__ == "__main__":
    main()
