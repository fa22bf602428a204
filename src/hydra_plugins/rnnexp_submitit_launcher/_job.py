"""What runs in a job of submitit; imports nothing heavy before the job does."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from hydra_plugins.rnnexp_local_launcher._output import run_logged
from hydra_plugins.rnnexp_submitit_launcher._slurm import Fate, fate_of_this_job

STOPPED = 128 + signal.SIGTERM


class Requeued:
    """A job's work that is queued again when the queue asks it to make room.

    submitit installs a handler for the queue's warning that queues the job again at once, and lets
    SIGTERM pass, by which most clusters preempt. Here either first stops the work between two
    training steps, which saves its state; then submitit's handler has its turn, unless the job
    was cancelled.

    Args:
        work: returns the exit code; 143 where SIGTERM has stopped it.
        log: takes what it prints.
        environment: to be set before torch is imported.
    """

    def __init__(self, work: Callable[[], int], log: Path, environment: Mapping[str, str]) -> None:
        self.work = work
        self.log = log
        self.environment = dict(environment)

    def __call__(self) -> int:
        """Do the work."""
        warning = _warning()
        queue_again: Any = signal.getsignal(warning)
        os.environ.update(self.environment)
        asked = _Asked()
        idle = signal.signal(signal.SIGTERM, _stop)  # submitit would let it pass
        signal.signal(signal.SIGCONT, signal.SIG_DFL)  # and tell of this one, which says nothing
        signal.signal(warning, asked.receive)
        try:
            code = run_logged(self.work, self.log)
        except _NothingToStop:
            code = STOPPED
        signal.signal(signal.SIGTERM, idle)
        signal.signal(warning, queue_again)
        if code == STOPPED:
            fate = Fate.LOST if asked.signum is not None else fate_of_this_job()
            if fate is Fate.LOST:
                queue_again(warning, None)  # does not return
            if fate is Fate.QUEUED_AGAIN:
                sys.exit(STOPPED)  # without a result, which would tell the command that it is over
        return code

    def checkpoint(self) -> Any:
        """Tell submitit what to queue: the same work, which goes on from its checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class _NothingToStop(BaseException):
    """The work was asked to end before it had begun to listen, or after."""


def _stop(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    raise _NothingToStop


class _Asked:
    def __init__(self) -> None:
        self.signum: int | None = None

    def receive(self, signum: int, frame: FrameType | None) -> None:
        del frame
        self.signum = signum
        os.kill(os.getpid(), signal.SIGTERM)


def _warning() -> signal.Signals:
    from submitit.core.job_environment import JobEnvironment

    return JobEnvironment._usr_sig()  # pyright: ignore[reportPrivateUsage]  # set by an environment variable
