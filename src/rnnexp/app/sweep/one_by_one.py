"""The jobs of a sweep one after the other in this process: ``hydra/launcher=basic``."""

import sys
import traceback
from collections import deque
from collections.abc import Iterable

import torch

from rnnexp.app.jobs.lease import BUSY, times_taken
from rnnexp.app.sweep.items import Item
from rnnexp.app.sweep.sweep import Sweep
from rnnexp.app.sweep.worker import run_folder
from rnnexp.errors import RnnexpError, RunError, describe
from rnnexp.files import JOURNAL
from rnnexp.tracking.outcome import Outcome
from rnnexp.training.interrupt import StopRequest


class OneByOne:
    """Run a job of a sweep at each call.

    Args:
        sweep: whose jobs they are; this process has it.
        left: those to run.
        stop: hears signals.
    """

    def __init__(self, sweep: Sweep, left: Iterable[Item], stop: StopRequest) -> None:
        self.sweep = sweep
        self.stop = stop
        self._threads = torch.get_num_threads()  # as long as no job has set its own
        self._waiting = deque(_in_turn(sweep, left))
        assert sweep.lease is not None
        sweep.lease.keep_beating()  # nobody else does while a job runs here

    def run_next(self) -> Outcome | None:
        """Run a job, and say why if it fails.

        Returns:
            How it ended; None where another process has it, or none is left.

        Raises:
            RunError: it failed, and ends the sweep.
            Stopped: a signal has.
        """
        if not self._waiting:
            return None
        item = self._waiting.popleft()
        self.sweep.freeze(item, self._threads)
        self.sweep.reader.hold(self.sweep.others.folders)
        self.sweep.tell({item.key})
        code, why = self._work_on(item)
        if code == BUSY:
            self.sweep.others.note(item.folder)
            print(f"rnnexp: {item.name}: another process runs it", file=sys.stderr)
            return None
        outcome = self.sweep.judge(item, why or f"exit code {code}", code)
        self.sweep.tell()
        if why:
            print(f"rnnexp: {outcome.how}", file=sys.stderr)
        self.sweep.told.add(item.folder)
        if not outcome.well and self.sweep.options["fail_fast"]:
            raise RunError(f"{item.name} failed, and sweep.fail_fast ends the sweep with it.")
        return outcome

    def _work_on(self, item: Item) -> tuple[int | None, str]:
        try:
            return run_folder(item.folder, self.stop, tracking=self.sweep.tracking), ""
        except (Exception, SystemExit) as error:  # it would end a process of its own, no other job
            if not isinstance(error, RnnexpError):
                traceback.print_exc()
            return None, describe(error)
        finally:
            if (item.folder / JOURNAL).is_file():  # another process may have begun it
                self.sweep.tracking.forward(item.folder)


def _in_turn(sweep: Sweep, left: Iterable[Item]) -> list[Item]:
    # One that ends this process would otherwise keep those after it from ever being run.
    states = sweep.states()
    return sorted(left, key=lambda i: (states[i.key] == "running", times_taken(i.folder)))
