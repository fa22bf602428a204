"""Ctrl-C and SIGTERM end a run in order: a checkpoint, an honest status, an exit code."""

import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class Stopped(BaseException):
    """A signal asked the run to stop; like KeyboardInterrupt it is no `Exception`.

    Args:
        signum: the signal's number; the exit code is 128 + signum.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signum


class StopRequest:
    """Whether a signal has come, and whether it may wait for the end of the step."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self.can_wait = False

    def receive(self, signum: int, frame: FrameType | None) -> None:
        """Note the first signal while a step runs; at any other moment stop at once."""
        del frame
        impatient = self.signum is not None
        self.signum = signum
        if impatient or not self.can_wait:
            raise Stopped(signum)

    @contextmanager
    def listening(self) -> Generator["StopRequest"]:
        """Take SIGINT and SIGTERM for the time of the block."""
        signals = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(signum, self.receive) for signum in signals]
        try:
            yield self
        finally:
            for signum, handler in zip(signals, before, strict=True):
                signal.signal(signum, handler)


class StopOnSignal(Callback):
    """Between two batches: save a checkpoint and stop, if a signal has come.

    Args:
        request: tells whether one has.
        checkpoint: where to save.
    """

    def __init__(self, request: StopRequest, checkpoint: Path) -> None:
        self.request = request
        self.checkpoint = checkpoint

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From now on a signal waits for the end of the batch."""
        del trainer, pl_module
        self.request.can_wait = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From now on a signal stops at once; one that came after the last batch does now."""
        del pl_module
        self._stop_if_asked(trainer)
        self.request.can_wait = False

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Stop as asked where Lightning, which hears SIGTERM too, would exit by itself."""
        del pl_module
        if isinstance(exception, SystemExit):
            self._stop_if_asked(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Stop after a training batch."""
        del pl_module, args, kwargs
        self._stop_if_asked(trainer)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Stop after a validation batch."""
        del pl_module, args, kwargs
        self._stop_if_asked(trainer)

    def _stop_if_asked(self, trainer: Trainer) -> None:
        if self.request.signum is None:
            return
        self.request.can_wait = False
        if not trainer.sanity_checking:
            trainer.save_checkpoint(self.checkpoint)
        raise Stopped(self.request.signum)
