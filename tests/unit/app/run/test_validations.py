"""The weights that training ends with are validated, once, and fitted ones that it begins with."""

import signal
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.run.fit import BEST, fit
from rnnexp.tracking import RunHeader, RunLog, load_run
from rnnexp.training.checkpoints import LAST
from rnnexp.training.interrupt import StopOnSignal, Stopped, StopRequest

WORDS = ["task.length=8", "cell.hidden_size=4", "cell=elman", "task.val_batches=1"]
WORDS += ["optimizer.lr=1e-4", "trainer.progress=none", "monitor.flow_every=null"]


def trained(
    folder: Path, checkpoint: Path | None, *words: str, signum: int | None = None
) -> list[int]:
    """Train until a signal is heard, if one is given; list the steps of the validations."""
    prepare([])
    plan = check_jobs([*WORDS, *words], multirun=False, config_dir=None)[0].plan
    header = RunHeader("last", "test", {}, {}, continues=checkpoint is not None)
    log = RunLog(folder, header, "none", None)
    stop = StopRequest()
    stop.signum = signum
    with nullcontext() if signum is None else pytest.raises(Stopped):
        fit(plan, folder, log, stop, checkpoint)
    log.end("FINISHED")
    return [step for step, _ in load_run(folder).metrics["val/loss"]]


@pytest.mark.parametrize(
    ("words", "validated"),
    [
        ("max_steps=7 val_every=3", [3, 6, 7]),
        ("max_steps=6 val_every=3", [3, 6]),
        ("max_steps=2 val_every=9", [2]),
        ("max_steps=5 val_every=4 accumulate=2", [2, 5]),  # after 4 and 9 batches, in epochs of 7
        ("max_steps=5 val_every=3 accumulate=2", [2, 3, 5]),
        ("max_steps=4 val_every=1 accumulate=4", [1, 2, 3, 4]),
        ("max_steps=9 val_every=1 accumulate=4 early_stop_after=3", [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("max_steps=99 val_every=3 accumulate=9 max_epochs=2", [1, 2]),
        ("max_steps=5 val_every=4 early_stop_after=9", [4, 5]),
        ("max_steps=99 val_every=4 max_epochs=2", [4, 8, 12, 14]),
        ("max_steps=99 val_every=50 max_epochs=1", [7]),
        ("max_steps=5 val_every=50 accumulate=3", [5]),
    ],
)
def test_the_last_step_is_validated_once(tmp_path: Path, words: str, validated: list[int]) -> None:
    options = [f"trainer.{word}" for word in words.split()]
    assert trained(tmp_path, None, "task.train_batches=7", *options) == validated


def test_windows_of_a_sequence_count_as_steps(tmp_path: Path) -> None:
    words = ["task=copy_memory", "unroll=truncated", "unroll.window=5"]
    assert trained(tmp_path, None, *words, "trainer.max_steps=5", "trainer.val_every=3") == [3, 5]


def test_the_best_may_be_of_the_last_step(tmp_path: Path) -> None:
    trained(tmp_path, None, "trainer.max_steps=7", "trainer.val_every=3")
    best, last = (
        torch.load(tmp_path / "checkpoints" / name, weights_only=True) for name in (BEST, LAST)
    )
    assert best["global_step"] == last["global_step"] == 7


def test_a_run_with_more_steps_goes_on_from_there(tmp_path: Path) -> None:
    trained(tmp_path, None, "trainer.max_steps=7", "trainer.val_every=3")
    checkpoint = tmp_path / "checkpoints" / LAST
    words = ["trainer.max_steps=10", "trainer.val_every=3"]
    assert trained(tmp_path, checkpoint, *words) == [3, 6, 7, 9, 10]
    assert trained(tmp_path, checkpoint, *words) == [3, 6, 7, 9, 10], "it was over"


def test_a_run_with_more_epochs_goes_on_from_there(tmp_path: Path) -> None:
    words = ["task.train_batches=4", "trainer.max_steps=99", "trainer.val_every=3"]
    assert trained(tmp_path, None, *words, "trainer.max_epochs=1") == [3, 4]
    checkpoint = tmp_path / "checkpoints" / LAST
    assert trained(tmp_path, checkpoint, *words, "trainer.max_epochs=2") == [3, 4, 6, 8]


RIDGE = ["cell=echo_state", "model.readout_fit=ridge", "trainer.val_every=3"]


def test_what_was_fitted_is_validated_first_and_may_stay_the_best(tmp_path: Path) -> None:
    words = [*RIDGE, "trainer.max_steps=7", "optimizer.lr=1"]
    assert trained(tmp_path, None, *words) == [0, 3, 6, 7]
    best = torch.load(tmp_path / "checkpoints" / BEST, weights_only=True)
    assert best["global_step"] == 0, "each step made it worse"


def test_a_fitted_run_that_goes_on_is_not_validated_again(tmp_path: Path) -> None:
    assert trained(tmp_path, None, *RIDGE, "trainer.max_steps=3") == [0, 3]
    checkpoint = tmp_path / "checkpoints" / LAST
    assert trained(tmp_path, checkpoint, *RIDGE, "trainer.max_steps=5") == [0, 3, 5]


def test_a_fitted_run_that_stopped_before_its_first_step_keeps_its_best(tmp_path: Path) -> None:
    words = [*RIDGE, "task.val_batches=3", "trainer.max_steps=3", "optimizer.lr=1"]
    assert trained(tmp_path, None, *words, signum=signal.SIGTERM) == [0]
    [first] = load_run(tmp_path).metrics["val/loss"]
    checkpoint = tmp_path / "checkpoints" / LAST
    assert trained(tmp_path, checkpoint, *words) == [0, 3], "not once more"
    assert min(loss for _, loss in load_run(tmp_path).metrics["val/loss"]) == first[1]


@pytest.mark.parametrize("batch", [0, 2, 7, 8])  # amid a step, and where an epoch begins
def test_accumulation_that_goes_on_is_validated_as_one_that_was_not_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    words = ["task.train_batches=7", "trainer.max_steps=5", "trainer.val_every=1"]
    words.append("trainer.accumulate=3")
    signals = iter([0] * batch + [15])
    monkeypatch.setattr(StopOnSignal, "_heard", lambda *_: next(signals, 0))
    with pytest.raises(Stopped):
        trained(tmp_path, None, *words)
    assert trained(tmp_path, tmp_path / "checkpoints" / LAST, *words) == [1, 2, 3, 4, 5]
