"""Claim: on cores that others use, too, a training is at least 1.5 times as fast as it is where
torch's threads wait in libgomp's own way; on cores of its own it is as fast, within a tenth.

The operations of a batch are so short that what decides is how a thread waits for the next one: in
a loop for long, as is libgomp's default, or asleep soon. One process more than there are cores only
counts meanwhile; and for comparison none does. The median of several runs counts.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.machine import keep, table

ROUNDS, STEPS = 3, 500
BUSY, ALONE = 1.5, 0.9
"""How fast it must be at least, to libgomp's default."""
DEFAULT, LIBGOMP = "rnnexp's default", "libgomp's default"
WAYS = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    DEFAULT: {},
    LIBGOMP: {"GOMP_SPINCOUNT": "300000"},
}
COMMAND = (
    *("train", "task=adding", "task.length=50", "cell=gru", "cell.hidden_size=64"),
    *(f"trainer.max_steps={STEPS}", f"trainer.val_every={STEPS}", "tracking.wait=0"),
)


@contextmanager
def neighbours(count: int) -> Generator[None]:
    """Have some processes count during the block."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def rate(folder: Path, way: str) -> float:
    """Train, and return the steps a second that the run says in the end."""
    names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    clean = {k: v for k, v in os.environ.items() if k not in names}
    command = [sys.executable, "-m", "rnnexp", *COMMAND]
    environment = {**clean, **WAYS[way]}
    done = subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return float(re.findall(r"([0-9.]+) steps/s", done.stdout + done.stderr)[-1])


def rates(folder: Path, busy: int) -> dict[str, float]:
    """Measure each way in turns beside so many busy processes; the medians."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    with neighbours(busy):
        for _ in range(ROUNDS):
            for way, known in found.items():
                known.append(rate(folder, way))
    return {way: statistics.median(known) for way, known in found.items()}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        rate(Path(name), "one thread")  # its kernels are built
        alone = rates(Path(name), 0)
        beside = rates(Path(name), 1 + (os.cpu_count() or 1))
    rows = [[way, f"{alone[way]:.0f}", f"{beside[way]:.0f}"] for way in WAYS]
    head = [f"gru, {STEPS} steps", "steps/s on cores of its own", "steps/s on busy cores"]
    claims = [_claim(alone, ALONE), _claim(beside, BUSY)]
    keep("busy", table(head, [*rows, [f"{DEFAULT} to {LIBGOMP}", *claims]]))


def _claim(found: dict[str, float], least: float) -> str:
    ratio = found[DEFAULT] / found[LIBGOMP]
    return f"{ratio:.2f}, {'holds' if ratio >= least else 'FAILS'} (at least {least})"


if __name__ == "__main__":
    main()
