"""What a person sees of a sweep: a table that moves on a terminal, lines elsewhere."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from hydra_plugins.rnnexp_local_launcher._pool import STOPPED, Ended
from hydra_plugins.rnnexp_local_launcher._processes import Task
from rnnexp.app.jobs.folder import STATUS
from rnnexp.app.jobs.lease import BUSY, LEASE_SECONDS
from rnnexp.app.jobs.log import LOG, cap_log, log_tail
from rnnexp.app.sweep.items import Item
from rnnexp.app.sweep.queued import QueueWatch
from rnnexp.app.sweep.sweep import Sweep
from rnnexp.app.sweep.worker import PATIENCE_SECONDS, main, run_folder
from rnnexp.files import JOURNAL
from rnnexp.tracking import FREE, selection_loss_of
from rnnexp.tracking.files import read_json
from rnnexp.tracking.outcome import Outcome

_REFRESH_SECONDS = 0.5


@dataclass(frozen=True)
class JobTask:
    """A job as the launcher takes it."""

    item: Item

    @property
    def name(self) -> str:
        """The name of its run."""
        return self.item.name

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.item.folder / LOG

    @property
    def command(self) -> list[str]:
        """A new interpreter for it."""
        return [sys.executable, "-m", "rnnexp.app.sweep.worker", str(self.item.folder)]

    @property
    def portable(self) -> Callable[[], int]:
        """The same for another machine, which sees the same folders."""
        return partial(main, str(self.item.folder), LEASE_SECONDS + PATIENCE_SECONDS)

    @property
    def wants_gpu(self) -> bool:
        """Whether it takes one where there is one."""
        return self.needs_gpu or self._accelerator == "auto"

    @property
    def needs_gpu(self) -> bool:
        """Whether it cannot do without."""
        return self._accelerator in ("gpu", "cuda")

    @property
    def devices(self) -> int:
        """How many GPUs, or processes on the CPU, it takes at once."""
        return int(self.item.job.plan.values["trainer"]["devices"])

    def run(self) -> int:
        """Run it in this process."""
        return run_folder(self.item.folder)

    @property
    def _accelerator(self) -> str:
        return str(self.item.job.plan.values["trainer"]["accelerator"])


class SweepWatcher:
    """Freeze jobs as they start, judge them as they end, and show how the sweep goes.

    Args:
        sweep: whose jobs they are.
    """

    def __init__(self, sweep: Sweep, moving: bool) -> None:
        self.sweep = sweep
        self.console = Console(stderr=True)
        self.moving = moving and self.console.is_terminal
        self._begun = time.monotonic()
        self._running: list[Item] = []
        self._to_forward: list[Item] = []
        self._seconds: list[float] = []
        self._live: Live | None = None
        self._shown = 0.0
        self._told: set[str] | None = None
        self._queue = QueueWatch(sweep.folder)

    def started(self, task: Task) -> None:
        """Take note of a start."""
        item = _item(task)
        self._running.append(item)
        self._to_forward.append(item)

    def ended(self, ended: Ended) -> bool:
        """Judge a job and say how it went."""
        item = _item(ended.task)
        self._running.remove(item)
        if self.sweep.lost:
            return True  # whoever has the sweep now judges its jobs
        cap_log(item.folder, at_work=ended.code == BUSY)
        self._forward()
        self.sweep.reader.hold([item.folder])
        self._tell()
        # Also one that was ended while it waited for the other: the record is not ours to end.
        if self.sweep.others.have_after(item.folder, ended.code) or ended.code == BUSY:
            self.say(f"{item.name}: another process runs it")
            return True
        outcome = self.sweep.judge(
            item, str(ended), ended.code, timed_out=ended.timed_out, stopped=ended.was_stopped
        )
        if outcome.status == "FINISHED":
            self._seconds.append(ended.seconds)
            self.say(f"{item.name}  FINISHED in {ended.seconds:.1f} s{_tested(outcome)}")
            return True
        if outcome.pruned:
            self.say(f"{item.name}  {outcome.error}")
            return True
        self._say_failure(item, outcome, has_log=ended.code not in STOPPED)
        return outcome.status == "KILLED"  # it goes on with the next command

    def _say_failure(self, item: Item, outcome: Outcome, has_log: bool) -> None:
        self.say(self.sweep.how(outcome))
        if has_log:  # else it tells no more
            lines = log_tail(item.folder, 5 + 1).splitlines()
            how = outcome.how
            unsaid = [line for line in lines if not how.endswith(line.removeprefix("rnnexp: "))]
            for line in unsaid[-5:]:
                self.say(f"    {line}")

    def turn(self, running: Sequence[Task], waiting: int) -> None:
        """Hand new journals on; keep the logs short; move the display.

        Raises:
            RunError: another command has taken the sweep over.
        """
        del running
        now = time.monotonic()
        if now - self._shown < _REFRESH_SECONDS:
            return
        self._shown = now
        self._forward()
        self.sweep.tracking.look_after()
        for item in self._running:
            cap_log(item.folder, at_work=True)
        self.sweep.beat()
        self.sweep.reader.hold(self.sweep.others.folders)
        if self._at_work() != self._told:
            self._tell()
        if words := self._queue.look(now):
            self.say(words)
        if self.moving and self._live is None:
            # No thread of its own: this process is copied for every job.
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
        if self._live is not None:
            self._live.update(self._picture(waiting), refresh=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._forward()
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _tell(self) -> None:
        self._told = self._at_work()
        self.sweep.tell(self._told)

    def _forward(self) -> None:
        ready = [i for i in self._to_forward if (i.folder / JOURNAL).is_file()]
        for item in ready:
            self._to_forward.remove(item)
            self.sweep.tracking.forward(item.folder)

    def say(self, line: str) -> None:
        """Say a line, after how far the sweep has come."""
        counts = self.sweep.count(self._at_work())
        done = counts["done"] + counts["failed"] + counts.get("pruned", 0)
        text = f"[{done}/{sum(counts.values())}] {line}"
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _picture(self, waiting: int) -> Group:
        counts = self.sweep.count(self._at_work())
        head = "  ".join(f"{value} {key}" for key, value in counts.items())
        lines = [f"{self.sweep.name}  {head}{self._time_left(waiting)}"]
        lines += [f"  {self._queue.words}"] if self._queue.words else []
        lines += [_progress_of(item) for item in self._running]
        return Group(*(Text(line, overflow="ellipsis", no_wrap=True) for line in lines))

    def _at_work(self) -> set[str]:
        # A job whose process is just ending counts once its own line has been said.
        return {item.key for item in self._running}

    def _time_left(self, waiting: int) -> str:
        if not self._seconds:
            return ""
        mean = sum(self._seconds) / len(self._seconds)
        at_once = max(1, len(self._running))
        seconds = mean * (waiting + len(self._running) / 2) / at_once
        return f"  about {seconds / 60:.1f} min left"


def _tested(outcome: Outcome) -> str:
    by = selection_loss_of([outcome.config])
    loss, how = outcome.metrics.get(f"test/{by}"), "free-running " if by.endswith(FREE) else ""
    return "" if loss is None else f"  {how}test loss {loss:.4g}"


def _progress_of(item: Item) -> str:
    status = read_json(item.folder / STATUS, needed=False)
    if not status:
        return f"  {item.name}  starting"
    loss = "" if status["loss"] is None else f"  loss {status['loss']:.4g}"
    return f"  {item.name}  step {status['step']}/{status['of']}{loss}"


def _item(task: Task) -> Item:
    assert isinstance(task, JobTask)
    return task.item
