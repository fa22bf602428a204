"""Truncated BPTT: windows of a long sequence, in memory that does not grow with its length."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer

from rnnexp.recurrence import RecurrentNetwork
from rnnexp.tasks import Task
from rnnexp.tasks.datamodule import TaskData
from rnnexp.tracking import load_run
from rnnexp.training.module import Recipe, RecurrentModule

from ..quiet import QUIET

# Not ru_maxrss: a child inherits that of the process that started it.
PEAK = """
import sys
from pathlib import Path
from rnnexp.__main__ import run
from rnnexp.tasks import GeneratedTask
GeneratedTask.judged_size = 2  # 32 sequences of an evaluation are data, half a gigabyte of it
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


PADDED = """
import torch
from rnnexp.tasks import IGNORED, GeneratedTask, cross_entropy, one_hot, register_task

@register_task("padded")
class Padded(GeneratedTask):
    \"\"\"Name each symbol; the sequences of a batch end early, and are padded.\"\"\"

    input_size = output_size = 3

    def generate(self, rng):
        shown_TB = torch.randint(3, (self.length, self.batch_size), generator=rng)
        targets_TB = shown_TB.clone()
        targets_TB[2 + int(torch.randint(self.length, (), generator=rng)) :] = IGNORED
        return one_hot(shown_TB, 3), targets_TB

    def loss(self, outputs, targets):
        return cross_entropy(outputs, targets)
"""


def test_a_window_of_padding_ends_no_run(rnnexp, workdir: Path, store_uri: str) -> None:
    (workdir / "mine").mkdir()
    (workdir / "mine" / "padded.py").write_text(PADDED)
    words = ["plugin_dirs=[mine]", "task=padded", "task.length=12", "cell.hidden_size=4"]
    words += ["unroll=truncated", "unroll.window=4", "trainer.max_steps=30", "trainer.val_every=15"]
    done = rnnexp("train", *words, "tracking.wait=0", timeout=100)
    assert done.code == 0, done.err
    (journal,) = workdir.glob("outputs/*/*/journal.jsonl")
    losses = [loss for _, loss in load_run(journal.parent).metrics["train/loss"]]
    assert len(losses) == 30
    assert min(losses) == 0.0, "a window without a target that is judged"
    assert 0.0 < max(losses) < 2.0


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
        trainer = Trainer(logger=False, **QUIET)
        trainer.validate(module, TaskData(task, "every_step", window), verbose=False)
        losses.append(float(trainer.callback_metrics["val/loss"]))
    assert max(losses) - min(losses) < 1e-6


LENGTH, WINDOW, BATCHES = 11, 4, 5
MOVES = {
    "sgd": partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adamw": partial(torch.optim.AdamW, lr=0.05),
}
falling = partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.8)


def loss_by_hand(network: RecurrentNetwork, task: Task, index: int) -> torch.Tensor:
    batch = task.batch("train", index)
    _, state = network(batch.inputs_TBI[:8])  # two windows of four, of which none has a target
    outputs, _ = network(batch.inputs_TBI[8:], state.detach())
    return task.loss(outputs, batch.targets)


def train_by_hand(network: RecurrentNetwork, task: Task, make: Callable, accumulate: int) -> int:
    optimizer = make(network.parameters())
    schedule, steps = falling(optimizer), 0
    for index in range(BATCHES):
        left = BATCHES - index // accumulate * accumulate
        size = min(accumulate, left)  # of the step: the mean is over the batches that it has
        (loss_by_hand(network, task, index) / size).backward()
        if (index + 1) % accumulate == 0 or index + 1 == BATCHES:
            torch.nn.utils.clip_grad_norm_(network.parameters(), 0.05)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            steps += 1
    return steps


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("name", MOVES)
def test_the_optimizer_steps_at_windows_with_targets_only(
    plugins, name: str, accumulate: int
) -> None:
    counts = {"train_batches": BATCHES, "val_batches": 1}
    task = plugins.get("task", "adding").cls(length=LENGTH, batch_size=3, **counts)
    make_cell = plugins.get("cell", "gru").cls
    torch.manual_seed(0)
    network = RecurrentNetwork(lambda size: make_cell(size, hidden_size=4), 2, 1, readout="last")
    other = deepcopy(network)
    trainer = Trainer(
        max_epochs=1,
        accumulate_grad_batches=accumulate,
        gradient_clip_val=0.05,
        logger=False,
        **QUIET,
    )
    module = RecurrentModule(network, task, Recipe(MOVES[name], falling), WINDOW)
    trainer.fit(module, TaskData(task, "last", WINDOW))
    assert trainer.global_step == train_by_hand(other, task, MOVES[name], accumulate)
    for found, expected in zip(network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
