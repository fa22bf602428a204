"""Truncated BPTT: windows of a long sequence, in memory that does not grow with its length."""

from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer

from rnnexp.recurrence import RecurrentNetwork
from rnnexp.tasks.datamodule import TaskData
from rnnexp.training.module import Recipe, RecurrentModule

# Not ru_maxrss: a child inherits that of the process that started it.
PEAK = """
import sys
from pathlib import Path
from rnnexp.__main__ import run
code = run(["train", *sys.argv[1:]])
status = Path("/proc/self/status").read_text()
print("peak", int(status.partition("VmHWM:")[2].split()[0]) // 1024, file=sys.stderr)
sys.exit(code)
"""
SMALL = ["task=copy_memory", "task.batch_size=2", "task.val_batches=1", "task.test_batches=1"]
SMALL += ["cell=lstm", "cell.hidden_size=64", "tracking.wait=0", "trainer.progress=none"]


def peak_megabytes(python, workdir: Path, length: int, steps: int, *more: str) -> int:
    words = [*SMALL, f"task.length={length}", f"trainer.max_steps={steps}", *more]
    words.append(f"trainer.val_every={steps}")
    done = python("-c", PEAK, *words, cwd=workdir, timeout=250)
    assert done.code == 0, done.err
    return int(done.err.rsplit("peak", 1)[1])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(python, workdir: Path, store_uri: str) -> None:
    window = ["unroll=truncated", "unroll.window=100"]
    short = peak_megabytes(python, workdir, 1000, 20, *window)
    long = peak_megabytes(python, workdir, 100_000, 1001, *window)
    # The inputs and targets themselves are 40 MB at this length; the graph of full BPTT would
    # be a dozen tensors of T x B x H floats, 600 MB.
    assert long - short < 120
    full = peak_megabytes(python, workdir, 20_000, 1)
    assert full - short > long - short, "full BPTT over a fifth of the steps takes more"


def test_windows_see_what_the_whole_sequence_sees(plugins) -> None:
    task = plugins.get("task", "copy_memory").cls(length=10, val_batches=2, test_batches=1)
    make_cell = plugins.get("cell", "gru").cls
    torch.manual_seed(0)
    network = RecurrentNetwork(
        lambda size: make_cell(size, hidden_size=8), task.input_size, task.output_size
    )
    losses: list[float] = []
    for window in (None, 7, 30, 1):
        module = RecurrentModule(network, task, Recipe(torch.optim.Adam), window)
        trainer = Trainer(
            logger=False,
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            accelerator="cpu",
        )
        trainer.validate(module, TaskData(task, "every_step", window), verbose=False)
        losses.append(float(trainer.callback_metrics["val/loss"]))
    assert max(losses) - min(losses) < 1e-6
