"""How long a training step of a recurrence takes on a GPU, against torch's own modules in cuDNN.

Forward and backward together, float32, from the inputs to the gradients of all weights, two times:

    called    from one step to the next where many follow each other, as in training: what Python
              and torch do in between counts, and where the GPU is done sooner it is all that does
    replayed  by a CUDA graph of the same step: the time of the GPU alone

cuDNN may round what it multiplies to TF32, as torch lets it; it is asked both ways. The native
loops multiply in full float32. With a trace they also give ||dL/dh_t|| of each step, which cuDNN
does not.

Claim: replayed, native takes at most the time of cuDNN in full float32, at every size.
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
LARGE = [(100, 256, 128, 256), (100, 1024, 32, 64), (100, 64, 128, 512), (100, 64, 128, 1024)]
CALLED = ("native", "native, traced", "cuDNN", "cuDNN in TF32", "pointwise")
REPLAYED = ("native", "cuDNN", "cuDNN in TF32")
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


def called(step: Step, budget_s: float = 0.08, most: int = 50) -> float:
    """Time one step among many: the shortest mean of three rounds."""

    def run() -> None:
        step().sum().backward()

    several(run, 2)
    count = max(1, min(most, int(budget_s / several(run, 1))))
    return min(several(run, count) / count for _ in range(3))


def replayed(step: Step, count: int = 20) -> float:
    """Time one step replayed by the GPU alone."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):  # what is made once is made before
        step().sum().backward()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step().sum().backward()
    several(graph.replay, 2)
    return min(several(graph.replay, count) / count for _ in range(3))


def several(run: Callable[[], None], count: int) -> float:
    """Time several runs together."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        run()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def row(name: str, size: Size) -> list[str]:
    """Measure one cell at one size."""
    steps = ways(name, size)
    by_call = {way: called(steps[way]) for way in CALLED if way in steps}
    by_graph = {way: replayed(steps[way]) for way in REPLAYED if way in steps}
    claim = ""
    if "cuDNN" in by_graph:
        claim = "holds" if by_graph["native"] <= by_graph["cuDNN"] else "FAILS"
    of_call = _over(by_call, CALLED)
    return [name, ", ".join(map(str, size)), *of_call, *_over(by_graph, REPLAYED), claim]


def _over(seconds: dict[str, float], order: tuple[str, ...]) -> list[str]:
    native = seconds["native"]
    ratios = [f"{native / seconds[way]:.2f}" if way in seconds else "" for way in order[1:]]
    return [f"{native * 1e3:.3f}", *ratios]


def main() -> None:
    """Measure all, and keep the table."""
    if not torch.cuda.is_available():
        print("benchmarks gpu: there is no CUDA GPU here; left out.")
        return
    load_plugins()
    head = ["cell", "T, B, I, H"]
    for kind, order in (("called", CALLED), ("replayed", REPLAYED)):
        head += [f"{kind}: native ms", *(f"/ {way}" for way in order[1:])]
    head.append("claim")
    rows: list[list[str]] = []
    for size in SIZES + LARGE:
        for name in MODULES:
            rows.append(row(name, size))
            print(*rows[-1], flush=True)
    gpu = torch.cuda.get_device_properties(0)
    facts = f"{gpu.name}, {gpu.multi_processor_count} multiprocessors, CUDA {torch.version.cuda}"
    keep("gpu", f"{table(head, rows)}\n\nOn {facts}.")
