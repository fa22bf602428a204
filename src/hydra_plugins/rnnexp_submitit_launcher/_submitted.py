"""A job that was submitted, as the pool watches it."""

import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra_plugins.rnnexp_local_launcher._processes import LOST
from hydra_plugins.rnnexp_submitit_launcher._job import STOPPED

LATE_SECONDS = 10.0


class SubmittedJob:
    """A job that submitit has.

    Args:
        job: submitit's.
        log: takes what submitit says of its end.
    """

    def __init__(self, job: Any, log: Path) -> None:
        self.job = job
        self.log = log
        self._asked = False
        self._over: float | None = None

    def poll(self) -> int | None:
        """Ask for the exit code."""
        if not self.job.done():
            return None
        if not self.job.paths.result_pickle.exists():
            if self._asked:
                return STOPPED  # before it had begun
            # submitit would wait for it here; a shared folder may show it late.
            self._over = self._over or time.monotonic()
            late = time.monotonic() - self._over > LATE_SECONDS
            return self._code_without_result() if late else None
        try:
            return int(self.job.result())
        except Exception as error:  # submitit's own, and whatever the job left
            self._log(_in_words(str(error).strip()))
            return 1

    def ask(self) -> None:
        """Cancel it: a queued job never starts, a running one saves its state."""
        self._asked = True
        with suppress(Exception):  # it may have ended meanwhile
            self._cancel()

    def kill(self) -> None:
        """Cancel it again; the queue ends what does not end by itself."""
        self.ask()

    def _cancel(self) -> None:
        self.job.cancel()
        self.job.watcher.hurry()

    def _code_without_result(self) -> int:
        # submitit keeps no exit code, not even of processes of this machine.
        self._log(f"the queue says {self.job.state}")
        return -signal.SIGKILL if self.job.state == "OUT_OF_MEMORY" else LOST

    def _log(self, said: str) -> None:
        with self.log.open("a", encoding="utf-8") as file:
            print(f"submitit: {said}", file=file)


class LocalJob(SubmittedJob):
    """A job of submitit's in processes of this machine."""

    def _cancel(self) -> None:
        # submitit's way is SIGINT, and SIGKILL a second later: too soon for a checkpoint.
        self.job._process.send_signal(signal.SIGTERM)


def _in_words(error: str) -> str:
    if "timed-out too many times" not in error:
        return error
    return (
        "it has come to its time limit more often than hydra.launcher.max_num_timeout says. "
        "Its state is saved: the same command goes on with it."
    )
