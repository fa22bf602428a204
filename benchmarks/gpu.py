"""How long a training step of a recurrence takes on a GPU, against torch's own modules in cuDNN.

Forward and backward together, float32, from the inputs to the gradients of all weights: the time
from one step to the next where many follow each other, as in training; what Python does in between
counts. cuDNN may round what it multiplies to TF32, as torch lets it; it is asked both ways. The
native loops multiply in full float32. With a trace they also give ||dL/dh_t|| of each step, which
cuDNN does not.

Claim: native takes at most the time of cuDNN in full float32, at every size.
"""

import time
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.machine import keep, table
from benchmarks.recurrence import SIZES
from rnnexp.discovery import load_plugins
from rnnexp.recurrence import Trace, unroll
from rnnexp.registry import REGISTRY

MODULES = {"lstm": nn.LSTM, "gru": nn.GRU, "elman": nn.RNN, "leaky": None}
LARGE = [(100, 256, 128, 256), (100, 1024, 32, 64)]
WAYS = ("native", "native, traced", "cuDNN", "cuDNN in TF32", "pointwise")
Step = Callable[[], torch.Tensor]
Size = tuple[int, int, int, int]


def ways(name: str, size: Size) -> dict[str, Step]:
    """Make one function per way to run a cell forward; each returns its outputs."""
    steps, rows, inputs, units = size
    x_TBI = torch.randn(steps, rows, inputs, device="cuda")
    cell = REGISTRY.get("cell", name).cls(inputs, hidden_size=units).cuda()
    found: dict[str, Step] = {
        "native": lambda: unroll(cell, x_TBI, backend="native").outputs_TBH,
        "native, traced": lambda: unroll(cell, x_TBI, backend="native", trace=Trace()).outputs_TBH,
        "pointwise": lambda: unroll(cell, x_TBI, backend="pointwise").outputs_TBH,
    }
    kind = MODULES[name]
    if kind is not None:
        module = kind(inputs, units).cuda()
        found["cuDNN"] = lambda: _with_tf32(module, x_TBI, False)
        found["cuDNN in TF32"] = lambda: _with_tf32(module, x_TBI, True)
    return found


def _with_tf32(module: nn.Module, x_TBI: torch.Tensor, allowed: bool) -> torch.Tensor:
    torch.backends.cudnn.allow_tf32 = allowed
    return module(x_TBI)[0]


def seconds_of(step: Step, budget_s: float = 0.15, most: int = 50) -> float:
    """Time one step among many: the shortest mean of three rounds."""
    _several(step, 2)
    count = max(1, min(most, int(budget_s / _several(step, 1))))
    return min(_several(step, count) / count for _ in range(3))


def _several(step: Step, count: int) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        step().sum().backward()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def row(name: str, size: Size) -> list[str]:
    """Measure one cell at one size."""
    found = {way: seconds_of(step) for way, step in ways(name, size).items()}
    native = found["native"]
    cells = [f"{native / found[way]:.2f}" if way in found else "" for way in WAYS[1:]]
    claim = ""
    if "cuDNN" in found:
        claim = "holds" if native <= found["cuDNN"] else "FAILS"
    return [name, ", ".join(map(str, size)), f"{native * 1e3:.3f}", *cells, claim]


def main() -> None:
    """Measure all, and keep the table."""
    if not torch.cuda.is_available():
        print("benchmarks gpu: there is no CUDA GPU here; left out.")
        return
    load_plugins()
    head = ["cell", "T, B, I, H", "native ms", *(f"/ {way}" for way in WAYS[1:]), "claim"]
    rows: list[list[str]] = []
    for size in SIZES + LARGE:
        for name in MODULES:
            rows.append(row(name, size))
            print(*rows[-1], flush=True)
    gpu = torch.cuda.get_device_properties(0)
    facts = f"{gpu.name}, {gpu.multi_processor_count} multiprocessors, CUDA {torch.version.cuda}"
    keep("gpu", f"{table(head, rows)}\n\nOn {facts}.")
