"""``torch.compile`` of the plain loop beside the native backend, in a process with a time limit.

Compiling an unrolled loop takes minutes where T is large, and cannot be broken off in between: so
one small size, and a process that is ended if it takes too long.
"""

import json
import subprocess
import sys
import time

import torch

from rnnexp.discovery import load_plugins
from rnnexp.recurrence import unroll
from rnnexp.registry import REGISTRY

SIZE = (50, 32, 2, 32)
LIMIT_S = 240
SECONDS = 3.0


def text() -> str:
    """Measure in a process of its own, and say what came of it in a sentence."""
    command = [sys.executable, "-m", "benchmarks.compiled"]
    where = f"torch.compile of the loop, lstm at (T, B, I, H) = {SIZE}, one thread:"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return f"{where} not compiled within {LIMIT_S} s."
    if done.returncode:
        return f"{where} failed: {done.stderr.strip().splitlines()[-1]}"
    found = json.loads(done.stdout.splitlines()[-1])
    ratio = found["native"] / found["compiled"]
    return (
        f"{where} {found['first']:.0f} s until the first step is done, then "
        f"{found['compiled'] * 1e3:.2f} ms a step; native takes {ratio:.2f} of that."
    )


def main() -> None:
    """Measure both in turns, and print the seconds as JSON."""
    load_plugins()
    torch.set_num_threads(1)
    steps, rows, inputs, units = SIZE
    x_TBI = torch.randn(steps, rows, inputs)
    cell = REGISTRY.get("cell", "lstm").cls(inputs, hidden_size=units)
    loop = torch.compile(lambda: unroll(cell, x_TBI, backend="loop").outputs_TBH)
    ways = {"compiled": loop, "native": lambda: unroll(cell, x_TBI, backend="native").outputs_TBH}
    begun = time.perf_counter()
    loop().sum().backward()
    found = {"first": time.perf_counter() - begun, **dict.fromkeys(ways, float("inf"))}
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        for name, way in ways.items():
            begun = time.perf_counter()
            way().sum().backward()
            found[name] = min(found[name], time.perf_counter() - begun)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
