"""How long a training step of a recurrence takes, against torch's own modules.

Claims, each for forward and backward together, float32 on the CPU, at one and at two threads:

    lstm   at most the time of nn.LSTM at every size
    gru    at most half the time of nn.GRU
    elman  at most 0.7 of the time of nn.RNN
    leaky, which torch does not have: at most 1.5 times the lstm's time scaled by multiply-adds

The last one fails where the multiply-adds are few, for a call costs some 0.15 ms in Python whatever
its size, of the lstm no more than of a cell with one gate. So the table says for that claim what
remains beside the call, which is measured at T = B = 1. And no claim can hold that asks for more
multiply-adds a second than the CPU makes: the table has their rate as a share of that of a product
of two large matrices by torch.mm.

All ways of running a cell, for leaky the lstm too, are interleaved in one process and the shortest
of many repetitions counts: other programs can only lengthen a time. The widest registers of the CPU
decide how the loops are laid out, and its maker by which library torch multiplies: each kind has a
table of its own, ``results/recurrence_avx2.md``, for one, or ``recurrence_avx512_intel.md``.
"""

import argparse
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks import compiled, without_compiler
from rnnexp.cells import PointwiseCell
from rnnexp.discovery import load_plugins
from rnnexp.recurrence import BACKENDS, unroll
from rnnexp.recurrence.backends import reason_against
from rnnexp.recurrence.native.build import find_compiler
from rnnexp.registry import REGISTRY

SIZES = [(50, 32, 2, 32), (100, 32, 32, 64), (100, 32, 128, 256)]
SIZES += [(784, 32, 1, 128), (200, 64, 2, 128), (1000, 8, 8, 64)]
MODULES = {"lstm": nn.LSTM, "gru": nn.GRU, "elman": nn.RNN, "leaky": nn.LSTM}
MOST = {"lstm": 1.0, "gru": 0.5, "elman": 0.7}
MOST_OF_LSTM = 1.5
LSTM = "the lstm"
FAST = ("native", "pointwise", "torch.nn", LSTM)
RESULTS = Path(__file__).parent / "results"
REGISTERS = {"avx512f": "AVX-512", "avx2": "AVX2", "asimd": "NEON"}
Step = Callable[[], Tensor]
Size = tuple[int, int, int, int]


@dataclass(frozen=True)
class Row:
    """The seconds of each way to run one cell at one size."""

    cell: str
    threads: int
    size: Size
    seconds: dict[str, float]
    call: float = 0.0
    """Of the native backend at T = B = 1."""
    rate: float = 0.0
    """Multiply-adds a second of a large product, with as many threads."""

    @property
    def share(self) -> float:
        """Multiply-adds a second of the native backend, as a share of those of a large product."""
        steps, rows, inputs, units = self.size
        gates = REGISTRY.get("cell", self.cell).cls.num_gates
        forward = steps * rows * gates * units * (inputs + units)
        return 3 * forward / self.seconds["native"] / self.rate  # backward takes two more

    def over(self, way: str) -> float:
        """Time of the native backend over that of another way."""
        return self.seconds["native"] / self.seconds[way]


def ways(name: str, size: Size) -> dict[str, Step]:
    """Make one function per way to run a cell forward; each returns its outputs."""
    steps, rows, inputs, units = size
    x_TBI = torch.randn(steps, rows, inputs)
    cell = REGISTRY.get("cell", name).cls(inputs, hidden_size=units)
    module = MODULES[name](inputs, units)
    backends = [b for b in ("native", "pointwise", "loop") if b in BACKENDS]
    found: dict[str, Step] = {
        b: lambda b=b: unroll(cell, x_TBI, backend=b).outputs_TBH
        for b in backends
        if reason_against(b, cell) is None
    }
    found["torch.nn"] = lambda: module(x_TBI)[0]
    found["python loop"] = lambda: by_hand(cell, x_TBI)
    if name not in MOST and "native" in found:
        lstm = REGISTRY.get("cell", "lstm").cls(inputs, hidden_size=units)
        found[LSTM] = lambda: unroll(lstm, x_TBI, backend="native").outputs_TBH
    return found


def by_hand(cell: PointwiseCell, x_TBI: Tensor) -> Tensor:
    """Write the loop that one writes first: a step of the cell per time step."""
    state, outputs = cell.initial_state(x_TBI.shape[1:-1]), []
    for x_BI in x_TBI:
        out_BH, state = cell.step(x_BI, state)
        outputs.append(out_BH)
    return torch.stack(outputs)


def shortest(
    steps: dict[str, Step], budget_s: float, fast_ways: Sequence[str] = FAST
) -> dict[str, float]:
    """Time forward and backward of each, in turns, until the time is spent."""
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(3):  # of the slow ones, which are there for orientation, a few turns are enough
        _take_turns(steps, best)
    fast = {way: step for way, step in steps.items() if way in fast_ways}
    end = time.perf_counter() + budget_s
    while fast and time.perf_counter() < end:
        _take_turns(fast, best)
    return best


def _take_turns(steps: dict[str, Step], best: dict[str, float]) -> None:
    for way, step in steps.items():
        best[way] = min(best[way], one(step))


def one(step: Step) -> float:
    """Time one forward and backward pass."""
    start = time.perf_counter()
    step().sum().backward()
    return time.perf_counter() - start


def call_alone(name: str, size: Size) -> float:
    """Time one time step of one row, where all but the call itself is next to nothing."""
    _, _, inputs, units = size
    native = ways(name, (1, 1, inputs, units)).get("native")
    return 0.0 if native is None else shortest({"native": native}, 0.1)["native"]


def large_product() -> float:
    """Count the multiply-adds a second of a product of two large matrices."""
    side, best = 1024, float("inf")
    a, b = torch.randn(2, side, side)
    for _ in range(20):
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return float(side**3 / best)


def measure(threads: list[int], budget_s: float) -> list[Row]:
    """Measure every cell at every size."""
    rows: list[Row] = []
    for count in threads:
        torch.set_num_threads(count)
        for size in SIZES:
            rate = large_product()
            for name in MODULES:
                seconds = shortest(ways(name, size), budget_s)
                rows.append(Row(name, count, size, seconds, call_alone(name, size), rate))
                print(rows[-1].cell, count, size, f"{rows[-1].over('torch.nn'):.2f}", flush=True)
    return rows


def measure_without_compiler(threads: list[int], budget_s: float) -> str:
    """Measure the lstm in torch alone, as a table."""
    timed = partial(shortest, budget_s=2 * budget_s, fast_ways=without_compiler.WAYS)
    tables: list[str] = []
    for count in threads:
        torch.set_num_threads(count)
        tables.append(without_compiler.rows(ways, timed, count))
    return without_compiler.HEAD + "\n".join(tables)


def share_of_lstm(row: Row, call_of_lstm: float | None = None) -> float:
    """Time over the lstm's, scaled by its share of the multiply-adds, which is 1 / 4 per gate.

    Args:
        row: of a cell beside which the lstm was timed.
        call_of_lstm: what remains beside the calls is compared where it is given.
    """
    mine, theirs = row.seconds["native"], row.seconds[LSTM]
    if call_of_lstm is not None:
        mine, theirs = mine - row.call, theirs - call_of_lstm
    gates = REGISTRY.get("cell", row.cell).cls.num_gates
    return mine / (theirs * gates / 4)


def verdict(row: Row, rows: list[Row]) -> str:
    """Compare with the claim."""
    if row.cell in MOST:
        ratio, most = row.over("torch.nn"), MOST[row.cell]
        return f"{'holds' if ratio <= most else 'FAILS'} (at most {most})"
    lstm = next(r for r in rows if (r.cell, r.threads, r.size) == ("lstm", row.threads, row.size))
    ratio, beside = share_of_lstm(row), share_of_lstm(row, lstm.call)
    word = "holds" if ratio <= MOST_OF_LSTM else "FAILS"
    return (
        f"{word} ({ratio:.2f} of the lstm's share, at most {MOST_OF_LSTM}; "
        f"{beside:.2f} beside the call of {row.call * 1e3:.2f} ms)"
    )


def table(rows: list[Row]) -> str:
    """Lay the results out as markdown: times of native, ratios to the other ways."""
    others = [way for way in rows[0].seconds if way != "native"]
    heads = ["cell", "threads", "T, B, I, H", "native ms", "of a large product's rate"]
    heads += [*(f"/ {way}" for way in others), "claim"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        size = ", ".join(map(str, row.size))
        ratios = [f"{row.over(way):.2f}" for way in others]
        cells = [row.cell, str(row.threads), size, f"{row.seconds['native'] * 1e3:.2f}"]
        cells.append(f"{row.share:.0%}")
        lines.append("| " + " | ".join([*cells, *ratios, verdict(row, rows)]) + " |")
    return "\n".join(lines)


def machine() -> str:
    """Say on what this was measured."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    compiler = find_compiler() or ("none",)
    version = subprocess.run([*compiler, "--version"], capture_output=True, text=True).stdout
    facts = {
        "CPU": named[0] if named else platform.processor(),
        "cores": str(len(named)) if named else "?",
        "widest registers": widest_registers(),
        "torch": torch.__version__,
        "compiler": version.partition("\n")[0],
    }
    return "\n".join(f"- {key}: {value}" for key, value in facts.items())


def widest_registers() -> str:
    """Name what this CPU computes with; the narrowest where it says nothing."""
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.exists() else set()
    return next((name for flag, name in REGISTERS.items() if flag in flags), "128 bits")


def main(arguments: Sequence[str] = ()) -> None:
    """Measure, print the table, and write it to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=1.5, help="per cell and size")
    options = parser.parse_args(arguments)
    load_plugins()
    rows = measure(options.threads, options.seconds)
    alone = measure_without_compiler(options.threads, options.seconds)
    text = (
        "# Recurrence: time of a training step\n\nForward and backward, float32. Ratios are the "
        "native backend's time over the other's; below 1 it is faster.\n"
        "For leaky, torch.nn stands for nn.LSTM: torch has no such cell.\n\n"
        f"{machine()}\n\n{table(rows)}\n\n{alone}\n\n{compiled.text()}\n"
    )
    print(text)
    RESULTS.mkdir(exist_ok=True)
    kind = widest_registers().replace("-", "").replace(" ", "_").lower()
    maker = "_intel" if "Intel" in machine() else ""
    (RESULTS / f"recurrence_{kind}{maker}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
