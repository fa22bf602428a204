"""Claim: the first training step comes at most 1.5 s after what importing Lightning takes alone.

Each command is a whole process, on a warm store; the least of several runs counts.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import keep, table

ROUNDS = 5
FIRST_STEP = """
import sys, time, os
from pytorch_lightning import Callback
import rnnexp.app.run.progress as progress
def note(self, trainer, module, *args, **kwargs):
    print("first step", file=sys.stderr, flush=True)
    os._exit(0)
progress.RunProgress.on_train_batch_end = note
from rnnexp.__main__ import run
run(["train", "trainer.progress=lines"])
"""


def seconds(command: list[str], folder: Path, ok: str = "") -> float:
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    taken = time.perf_counter() - begun
    assert ok in done.stderr + done.stdout, done.stderr
    return taken


def main() -> None:
    python = sys.executable
    ways = {
        "`rnnexp --help`": ([python, "-m", "rnnexp", "--help"], "rnnexp train"),
        "`import torch`": ([python, "-c", "import torch"], ""),
        "`import pytorch_lightning`": ([python, "-c", "import pytorch_lightning"], ""),
        "`rnnexp train`, to the first step": ([python, "-c", FIRST_STEP], "first step"),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["PYTHONWARNINGS"] = "ignore"
        warm = [python, "-m", "rnnexp", "train", "trainer=debug"]
        seconds(warm, folder, "test loss")
        for _ in range(ROUNDS):
            for way, (command, ok) in ways.items():
                times[way].append(seconds(command, folder, ok))
                time.sleep(3.5 if "train" in way else 0)  # its sink notices the end, and ends
    rows = [[way, f"{min(taken):.2f} s"] for way, taken in times.items()]
    keep("startup", table(["command", "time"], rows))


if __name__ == "__main__":
    main()
