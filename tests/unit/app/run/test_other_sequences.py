"""What goes on with other sequences, or other windows of them, begins with a whole one."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.run.fit import fit
from rnnexp.tasks import Batch
from rnnexp.tasks.stream import BatchStream
from rnnexp.training.checkpoints import LAST
from rnnexp.training.interrupt import StopRequest

COPY = ["task=copy_memory", "task.length=5", "task.copied=3", "task.batch_size=4"]  # 11 steps
COPY += ["task.train_batches=4", "task.val_batches=1"]
TEXT = ["task=char_lm", "task.length=6", "task.path=text.txt"]
WORDS = ["cell=elman", "cell.hidden_size=3"]
WORDS += ["trainer.progress=none", "monitor.flow_every=null", "trainer.val_every=99"]
Trained = tuple[int, list[tuple[int, Batch]]]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trained]:
    """Train, and give the steps done and the training batches with their positions."""
    taken: list[tuple[int, Batch]] = []
    at = BatchStream.at

    def noted(stream: BatchStream, position: int) -> Batch:
        batch = at(stream, position)
        if stream.split == "train":
            taken.append((position, batch))
        return batch

    def trained(folder: Path, checkpoint: Path | None, *words: str) -> Trained:
        prepare([])
        task = [] if "task=char_lm" in words else COPY
        plan = check_jobs([*WORDS, *task, *words], multirun=False, config_dir=None)[0].plan
        taken.clear()
        steps = fit(plan, folder, None, StopRequest(), checkpoint).trainer.global_step
        return steps, list(taken)

    monkeypatch.setattr(BatchStream, "at", noted)
    return trained


OTHERS = [
    ("unroll.window=null trainer.max_steps=3", "unroll.window=4", 9),
    ("unroll.window=4 trainer.max_steps=4", "unroll.window=6", 4),  # amid the second sequence
    ("unroll.window=4 trainer.max_steps=4", "unroll.window=null", 2),
    ("unroll.window=4 trainer.max_steps=6", "unroll.window=3", 8),
    ("unroll.window=4 trainer.max_steps=4", "unroll.window=4 seed=1", 6),
    ("unroll.window=4 trainer.max_steps=4", "unroll.window=4 task.batch_size=2", 6),
]


@pytest.mark.parametrize(("then", "now", "position"), OTHERS)
def test_it_begins_with_the_next_whole_sequence(
    trained, tmp_path: Path, then: str, now: str, position: int
) -> None:
    before, _ = trained(tmp_path, None, *then.split())
    words = [*now.split(), "trainer.max_steps=99", "trainer.max_epochs=1"]
    steps, taken = trained(tmp_path, tmp_path / "checkpoints" / LAST, *words)
    (first, batch), (last, _) = taken[0], taken[-1]
    assert first == position
    assert batch.fresh
    assert batch.before == 0
    assert batch.after == 11 - len(batch.inputs_TBI)
    assert steps - before == len(taken), "the epoch ends with its last window"
    assert last - first + 1 == len(taken)


def test_the_same_window_goes_on_amid_a_sequence(trained, tmp_path: Path) -> None:
    words = ["unroll.window=4", "trainer.max_epochs=1"]
    trained(tmp_path, None, *words, "trainer.max_steps=4")
    steps, taken = trained(tmp_path, tmp_path / "checkpoints" / LAST, *words)
    assert taken[0][0] == 4
    assert not taken[0][1].fresh
    assert steps == 12


def test_epochs_of_another_length_are_whole(trained, tmp_path: Path) -> None:
    trained(tmp_path, None, "trainer.max_steps=3")
    words = ["task.train_batches=5", "trainer.max_steps=99", "trainer.max_epochs=2"]
    steps, taken = trained(tmp_path, tmp_path / "checkpoints" / LAST, *words)
    assert [position for position, _ in taken] == list(range(3, 10))
    assert steps == 10


def test_a_text_read_in_other_rows_begins_without_a_state(trained, workdir: Path) -> None:
    Path("text.txt").write_text("any text will do, and this one does. " * 40)
    trained(workdir / "a", None, *TEXT, "trainer.max_steps=3")
    checkpoint = workdir / "a" / "checkpoints" / LAST
    assert "carried" in torch.load(checkpoint, weights_only=True)
    words = [*TEXT, "task.batch_size=2", "trainer.max_steps=5"]
    assert trained(workdir / "b", checkpoint, *words)[0] == 5
