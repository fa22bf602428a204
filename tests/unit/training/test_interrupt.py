import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer

from rnnexp.training.interrupt import SIGNALS, Piped, StopOnSignal, Stopped, StopRequest
from rnnexp.training.resume import ResumePoint

from ...quiet import QUIET

CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.mark.parametrize(("signum", "code"), CODES)
def test_exit_code_is_the_shells(signum: int, code: int) -> None:
    error = Stopped(signum)
    assert error.exit_code == code
    assert str(error) == f"stopped by {signal.Signals(signum).name}"
    assert not isinstance(error, Exception)


def test_signal_stops_at_once_where_it_cannot_wait() -> None:
    with StopRequest().listening(), pytest.raises(Stopped):
        os.kill(os.getpid(), signal.SIGTERM)


def test_first_signal_waits_and_the_second_does_not() -> None:
    request = StopRequest()
    request.can_wait = True
    with request.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.signum == signal.SIGTERM
        with pytest.raises(Stopped) as caught:
            os.kill(os.getpid(), signal.SIGINT)
    assert caught.value.signum == signal.SIGINT


@pytest.mark.parametrize("buffering", [1, -1], ids=["by line", "buffered"])
def test_after_a_signal_it_is_no_error_that_nobody_reads_on(buffering: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    request = StopRequest()
    with os.fdopen(writing, "w", buffering) as stream:
        piped = Piped(stream, request)
        with pytest.raises(BrokenPipeError):
            print("before it", file=piped, flush=True)
        request.signum = signal.SIGINT
        for word in ("stopped", "by Ctrl-C"):
            print(word, file=piped, flush=True)
        assert (piped.fileno(), piped.isatty()) == (writing, False)


def test_a_pipe_is_shared_once_however_many_runs_a_process_makes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = sys.stdout
    for name in ("stdout", "stderr"):  # put back at the end
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.setattr("stat.S_ISFIFO", lambda mode: True)
    for _ in range(2):
        with StopRequest().listening():
            pass
    assert isinstance(sys.stdout, Piped)
    assert sys.stdout.stream is stream


def close_during(signals: int, done: list[int]) -> None:
    request = StopRequest()
    request.signum = signal.SIGINT  # it has ended the training
    with request.listening(), request.closing():
        for number in range(signals):
            os.kill(os.getpid(), signal.SIGTERM)
            done.append(number)


def test_a_first_signal_waits_for_the_end_of_a_closing_and_a_second_does_not() -> None:
    for signals in (1, 2):
        done: list[int] = []
        with pytest.raises(Stopped) as caught:
            close_during(signals, done)
        assert caught.value.signum == signal.SIGTERM
        assert done == [0]


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(signum) for signum in SIGNALS]
    with StopRequest().listening() as request:
        assert signal.getsignal(signal.SIGTERM) == request.receive
        request.can_wait = True
        os.kill(os.getpid(), signal.SIGHUP)
    assert [signal.getsignal(signum) for signum in SIGNALS] == before


@contextmanager
def on_a_terminal() -> Generator[int]:
    """Have a terminal take what is printed, and give its other end."""
    kept = [os.dup(stream) for stream in (1, 2)]
    ours, theirs = os.openpty()
    for stream in (1, 2):
        os.dup2(theirs, stream)
    os.close(theirs)
    try:
        yield ours
    finally:
        for stream, before in zip((1, 2), kept, strict=True):
            os.dup2(before, stream)
            os.close(before)


def test_a_terminal_that_is_closed_is_told_twice_and_printed_to_no_more() -> None:
    request = StopRequest()
    request.can_wait = True
    with on_a_terminal() as other_end, request.listening():
        os.close(other_end)
        with pytest.raises(OSError, match="Input/output error"):
            os.write(2, b"step 1")
        for _ in range(2):  # by the system, and by the shell
            os.kill(os.getpid(), signal.SIGHUP)
            assert request.signum == signal.SIGHUP
        assert os.write(2, b"stopped") == 7
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)


def test_nohup_is_heeded() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    request = StopRequest()
    with request.listening():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.signal(signal.SIGHUP, before) == signal.SIG_IGN
    assert request.signum is None


class Steps:
    def __len__(self) -> int:
        return 4

    def __iter__(self):
        yield from torch.ones(4, 1, 1)


class Plain(LightningModule):
    """Sends itself a signal at a named moment."""

    def __init__(self, moment: str) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.moment = moment

    def _signal(self, moment: str) -> None:
        if moment == self.moment:
            os.kill(os.getpid(), signal.SIGTERM)

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        self._signal(f"train {batch_idx}")
        return self.layer(batch).sum()

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self._signal(f"validation {batch_idx}")

    def on_validation_end(self) -> None:
        self._signal("after validation")

    def on_train_epoch_end(self) -> None:
        self._signal("epoch end")

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self) -> Steps:
        return Steps()

    def val_dataloader(self) -> Steps:
        return Steps()


def _fit(module: Plain, tmp_path: Path, request: StopRequest | None = None) -> tuple[Trainer, Path]:
    request, checkpoint = request or StopRequest(), tmp_path / "last.ckpt"
    point = ResumePoint(checkpoint, seconds_between=1000.0)
    trainer = Trainer(
        max_epochs=1,
        logger=False,
        **QUIET,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
        callbacks=[StopOnSignal(request, point), point],
    )
    with request.listening():
        trainer.fit(module)
    return trainer, checkpoint


@pytest.mark.parametrize(
    ("moment", "steps"),
    [
        ("train 0", 1),
        ("train 2", 3),
        ("validation 1", 4),
        ("after validation", 4),
        ("epoch end", 4),
    ],
)
def test_signal_saves_a_checkpoint_and_stops(tmp_path: Path, moment: str, steps: int) -> None:
    with pytest.raises(Stopped):
        _fit(Plain(moment), tmp_path)
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert state["global_step"] == steps


def test_without_a_signal_nothing_is_stopped(tmp_path: Path) -> None:
    trainer, checkpoint = _fit(Plain("never"), tmp_path)
    assert trainer.global_step == 4
    assert not checkpoint.exists()


class Broken(Plain):
    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        raise RuntimeError("the cell broke")


def test_after_a_failure_no_signal_waits_for_a_batch(tmp_path: Path) -> None:
    request = StopRequest()
    with pytest.raises(RuntimeError, match="the cell broke"):
        _fit(Broken("never"), tmp_path, request)
    with request.listening(), pytest.raises(Stopped):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_that_no_step_has_heeded_stops_later() -> None:
    request = StopRequest()
    request.heed()
    request.signum = signal.SIGINT
    with pytest.raises(Stopped):
        request.heed()
