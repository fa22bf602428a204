"""An LSTM where there is no C compiler: the pointwise backend, which is torch alone.

Claims, for forward and backward together, float32 on the CPU: at most so many times the time of
nn.LSTM at each size, and at least 1.8 times as fast as a loop over time written by hand where the
matrices are small.
"""

from collections.abc import Callable

from torch import Tensor

MOST = {(100, 32, 32, 64): 1.8, (100, 32, 128, 256): 1.25, (784, 32, 1, 128): 1.3}
"""Of nn.LSTM's time, by (T, B, I, H)."""
LEAST = {(100, 32, 32, 64): 1.8}
"""The time of the loop written by hand over that of the backend."""
WAYS = ("pointwise", "torch.nn", "python loop")
Size = tuple[int, int, int, int]
Ways = Callable[[str, Size], dict[str, Callable[[], Tensor]]]
Shortest = Callable[[dict[str, Callable[[], Tensor]]], dict[str, float]]


HEAD = """## Without a compiler

The lstm by the backend `pointwise`: its time over that of nn.LSTM, and the loop by hand over it.

| threads | T, B, I, H | pointwise ms | / torch.nn | faster than the python loop | claim |
|---|---|---|---|---|---|
"""


def rows(ways: Ways, shortest: Shortest, threads: int) -> str:
    """Measure each size, and lay the results out as rows below `HEAD`.

    Args:
        ways: gives one function per way to run a cell.
        shortest: times functions in turns.
        threads: how many are set.
    """
    lines: list[str] = []
    for size, most in MOST.items():
        made = ways("lstm", size)
        seconds = shortest({way: made[way] for way in WAYS})
        ratio = seconds["pointwise"] / seconds["torch.nn"]
        gain = seconds["python loop"] / seconds["pointwise"]
        least = LEAST.get(size, 0.0)
        holds = ratio <= most and gain >= least
        claim = f"at most {most}" + (f", at least {least} times as fast" if least else "")
        verdict = f"{'holds' if holds else 'FAILS'} ({claim})"
        figures = f"{seconds['pointwise'] * 1e3:.2f} | {ratio:.2f} | {gain:.2f}"
        lines.append(f"| {threads} | {', '.join(map(str, size))} | {figures} | {verdict} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)
