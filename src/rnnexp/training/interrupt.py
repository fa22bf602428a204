"""Ctrl-C, SIGTERM and SIGHUP end a run in order: a checkpoint, an honest status, an exit code."""

import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

from pytorch_lightning import Callback, LightningModule, Trainer

from rnnexp.errors import StoreError
from rnnexp.training.resume import ResumePoint
from rnnexp.training.team import word_of_first

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE_SECONDS = 5.0
"""How long a validation may go on after a signal; a scheduler kills after some ten seconds."""

_ON_ITS_WAY_SECONDS = 0.1
"""Within it a signal that has ended another process of the same terminal has come here, too."""


class Stopped(BaseException):
    """A signal asked the run to stop; like KeyboardInterrupt it is no `Exception`.

    Args:
        signum: the signal's number; the exit code is 128 + signum.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum
        self.too_late = False
        """Whether the run was over by then, well or not: only what comes after was stopped."""

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM, 129 for a terminal that was closed."""
        return 128 + self.signum


class StopOnFullDisk(Callback):
    """Between two batches: say that the record cannot be written; save a checkpoint, and stop.

    Args:
        problem: what keeps the record from the disk at this moment, in words; None for nothing.
        point: saves the checkpoint; None has training go on, and the writing tried again.
    """

    def __init__(self, problem: Callable[[], str | None], point: ResumePoint | None) -> None:
        self.problem = problem
        self.point = point
        self._said = False

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Look before a training batch.

        Raises:
            StoreError: there is a problem, and training is to stop.
        """
        del pl_module, batch, batch_idx
        problem = None if self._said else self.problem()
        if self.point is not None and word_of_first(trainer, problem is not None):
            problem = problem or "The first process cannot write its record."
        if problem is None:
            return
        self._said = True
        if self.point is None:
            print(f"rnnexp: {problem} Training goes on; it is tried again.", file=sys.stderr)
            return
        self.point.save(trainer)
        raise StoreError(f"{problem} Free some space, and go on with resume=.")


class StopRequest:
    """Whether a signal has come, and whether it may wait for the end of the step."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self.can_wait = False
        self.listens = False
        self._closing = False
        self._meanwhile: int | None = None

    def receive(self, signum: int, frame: FrameType | None) -> None:
        """Note the first signal while a step runs; at any other moment stop at once."""
        del frame
        if signum == signal.SIGHUP:
            _leave_terminal()
        if self._closing and self._meanwhile is None:
            self._meanwhile = signum
            return
        impatient = self.signum is not None
        self.signum = signum
        if impatient or not self.can_wait:
            raise Stopped(signum)

    @contextmanager
    def listening(self) -> Generator["StopRequest"]:
        """Take SIGINT, SIGTERM and SIGHUP for the time of the block."""
        before = [signal.getsignal(signum) for signum in SIGNALS]
        self.take_signals()
        self._share_streams()
        self.listens = True
        try:
            yield self
        finally:
            self.listens = False
            for signum, handler in zip(SIGNALS, before, strict=True):
                signal.signal(signum, handler)

    @contextmanager
    def closing(self) -> Generator[None]:
        """Have a first signal wait for the end of the block, which is short.

        Raises:
            Stopped: one has come meanwhile.
        """
        self._closing = True
        try:
            yield
        finally:
            self._closing = False
        if self._meanwhile is not None:
            raise Stopped(self._meanwhile)

    def heed(self) -> None:
        """Stop if a signal has come that waited for the end of a step, which failed.

        Raises:
            Stopped: one has.
        """
        if self.signum is not None:
            raise Stopped(self.signum)

    def take_signals(self) -> None:
        """Have signals come here, whoever took them before; nohup has SIGHUP come nowhere."""
        for signum in SIGNALS:
            if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, self.receive)

    def _share_streams(self) -> None:
        # Not put back: that the run has been stopped is said last.
        for name, place in (("stdout", 1), ("stderr", 2)):
            with suppress(OSError):
                if stat.S_ISFIFO(os.fstat(place).st_mode):
                    stream = getattr(sys, name)
                    own = stream.stream if isinstance(stream, Piped) else stream  # of a run before
                    setattr(sys, name, Piped(own, self))


class Piped:
    """A stream into a pipe, whose reader the signal that stops a run may end as well.

    As Ctrl-C does with ``rnnexp train | tee log``: what is written from then on goes nowhere.

    Args:
        stream: the stream.
        stop: tells whether a signal has come.
    """

    def __init__(self, stream: TextIO, stop: StopRequest) -> None:
        self.stream, self._stop = stream, stop

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write a text.

        Raises:
            BrokenPipeError: nobody reads on, and no signal has come.
        """
        with self._perhaps_unread():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is left; see `write`."""
        with self._perhaps_unread():
            self.stream.flush()

    @contextmanager
    def _perhaps_unread(self) -> Generator[None]:
        try:
            yield
        except BrokenPipeError:
            time.sleep(_ON_ITS_WAY_SECONDS)
            if self._stop.signum is None:
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())


def _leave_terminal() -> None:
    # The shell and the system may both tell of its end: no sign of impatience.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # to print to what has gone would be an error
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(stream).st_mode):
                os.dup2(nowhere, stream)
    os.close(nowhere)


class DeafToSignals(StopRequest):
    """For a process that stops when the first one of its run says so, at the same batch."""

    def receive(self, signum: int, frame: FrameType | None) -> None:
        """Go on."""


class StopOnSignal(Callback):
    """Between two batches: save a checkpoint and stop, if a signal has come.

    Args:
        request: tells whether one has.
        point: saves the checkpoint.
    """

    def __init__(self, request: StopRequest, point: ResumePoint) -> None:
        self.request = request
        self.point = point
        self._since: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From now on a signal waits for the next batch."""
        del trainer, pl_module
        if self.request.listens:
            self.request.take_signals()  # Lightning has put its own in between
        self.request.can_wait = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From now on a signal stops at once; one that came at the last step does so now."""
        del pl_module
        self.request.can_wait = False
        signum = self._heard(trainer)
        if signum:
            trainer.save_checkpoint(self.point.checkpoint)
            raise Stopped(signum)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """From now on a signal stops at once: no next batch comes."""
        del trainer, pl_module, exception
        self.request.can_wait = False

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take signals back from Lightning here, too."""
        del trainer, pl_module
        if self.request.listens:
            self.request.take_signals()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Stop before a training batch."""
        del pl_module, batch, batch_idx
        signum = self._heard(trainer)
        if signum:
            self.request.can_wait = False
            self.point.save(trainer)
            raise Stopped(signum)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Let a validation end, but not for long: the last checkpoint before it stands."""
        del trainer, pl_module, args, kwargs
        if self.request.signum is None:
            return
        self._since = self._since or time.monotonic()
        if time.monotonic() - self._since > PATIENCE_SECONDS:
            self.request.can_wait = False
            raise Stopped(self.request.signum)

    def _heard(self, trainer: Trainer) -> int:
        # All processes of a run stop before the same batch: the first one's signal counts.
        return word_of_first(trainer, self.request.signum or 0)
