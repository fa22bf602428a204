"""From which number of steps on the scan over time beats one step after the other.

Forward and backward, float32 on the CPU, at one and at two threads, for cells linear in their
state. Three ways, interleaved in one process; the shortest of many repetitions counts:

    scan        coefficients of all steps at once, then rounds over time
    sequential  the same, then one step after the other, without autograd's record
    loop        the cell's step under autograd

The table goes to ``results/scan.md``.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import torch

from benchmarks.recurrence import machine
from rnnexp.discovery import load_plugins
from rnnexp.recurrence import scan as module
from rnnexp.recurrence import unroll
from rnnexp.registry import REGISTRY

CELLS = ("min_gru", "lru")
SIZES = ((32, 64), (32, 256))
STEPS = (1, 2, 5, 10, 20, 50, 100, 300, 1000)
RESULTS = Path(__file__).parent / "results" / "scan.md"
Times = dict[str, float]
WAYS = ("scan", "sequential", "loop")
CLEARLY = 0.95
LONGEST_LOOP = 300
"""Steps beyond which the loop is not timed: it takes long, and has lost before."""


def ways(name: str, steps: int, rows: int, units: int) -> dict[str, Callable[[], None]]:
    """Make one function per way, each a forward and backward pass."""
    cell = REGISTRY.get("cell", name).cls(2, hidden_size=units)
    x_TBI = torch.randn(steps, rows, 2)

    def run(backend: str) -> None:
        unroll(cell, x_TBI, backend=backend).outputs_TBH.sum().backward()

    def sequential() -> None:
        with patch.object(module, "_FEW", steps):
            run("scan")

    found = {"scan": lambda: run("scan"), "sequential": sequential}
    return found | ({"loop": lambda: run("loop")} if steps <= LONGEST_LOOP else {})


def shortest(ways_of: dict[str, Callable[[], None]], budget_s: float) -> Times:
    """Time all ways in turns until the time is spent."""
    best = dict.fromkeys(ways_of, float("inf"))
    end, turn = time.perf_counter() + budget_s, 0
    while turn < 3 or time.perf_counter() < end:
        for way, run in ways_of.items():
            if turn < 3 or way != "loop":
                start = time.perf_counter()
                run()
                best[way] = min(best[way], time.perf_counter() - start)
        turn += 1
    return best


def table(name: str, size: tuple[int, int], threads: int, budget_s: float) -> str:
    """Measure one cell at one size over all T, and lay the times out as markdown."""
    rows, units = size
    lines = [
        f"## {name}, B={rows}, H={units}, threads={threads}\n",
        "| T | scan ms | sequential ms | loop ms | scan / sequential | scan / loop |",
        "|---|---|---|---|---|---|",
    ]
    ratios: dict[str, dict[int, float]] = {"sequential": {}, "loop": {}}
    for steps in STEPS:
        best = shortest(ways(name, steps, rows, units), budget_s)
        for way in ratios.keys() & best.keys():
            ratios[way][steps] = best["scan"] / best[way]
        times = [f"{best[way] * 1e3:.2f}" if way in best else "" for way in WAYS]
        shown = [f"{of[steps]:.2f}" if steps in of else "" for of in ratios.values()]
        lines.append(f"| {' | '.join([str(steps), *times, *shown])} |")
        print(name, rows, units, threads, lines[-1], flush=True)
    return "\n".join([*lines, "", *(f"- {wins_from(*pair)}" for pair in ratios.items())])


def wins_from(way: str, ratios: dict[int, float]) -> str:
    """Name the T from which on the scan took clearly less time at every T that was measured."""
    firsts = [t for t in ratios if all(r < CLEARLY for later, r in ratios.items() if later >= t)]
    if not firsts:
        return f"against {way}: does not win"
    return f"against {way}: wins from T={firsts[0]} on"


def main(arguments: Sequence[str] = ()) -> None:
    """Measure, print the tables, and write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=0.3, help="per cell, size and T")
    options = parser.parse_args(arguments)
    load_plugins()
    parts = ["# Scan over time: forward and backward pass\n", machine()]
    for threads in options.threads:
        torch.set_num_threads(threads)
        parts += [table(name, size, threads, options.seconds) for name in CELLS for size in SIZES]
    text = "\n\n".join(parts) + "\n"
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
