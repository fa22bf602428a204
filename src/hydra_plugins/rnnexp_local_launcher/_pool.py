"""Run tasks in processes, a few at a time: start, watch, end. Knows neither Hydra nor torch."""

import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hydra_plugins.rnnexp_local_launcher._processes import (
    GRACE_SECONDS,
    LOST,
    Running,
    Start,
    Task,
)

POLL_SECONDS = 0.02
STOPPED = {128 + signum: signum for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
"""Exit codes of a task that was asked to end, and did so in order; and the signal."""


@dataclass(frozen=True)
class Ended:
    """How the process of a task ended.

    Args:
        task: what it ran.
        code: its exit code; None where a signal ended it, or where its worker was lost.
        signum: that signal.
        seconds: from its start to its end.
        timed_out: whether it was ended for its time.
        asked: whether the pool had asked it to end.
        preemptible: whether others than the pool may ask it to end, so that it goes on later.
    """

    task: Task
    code: int | None
    signum: int | None
    seconds: float
    timed_out: bool = False
    asked: bool = False
    preemptible: bool = False

    @property
    def was_stopped(self) -> bool:
        """Whether it was ended so that it goes on later; a stranger's SIGTERM ends it for good."""
        signum = self.signum or STOPPED.get(self.code or 0)
        strangers = (signal.SIGINT, signal.SIGTERM) if self.preemptible else (signal.SIGINT,)
        meant = self.asked or signum in strangers
        ended_by_others = signum is not None or self._was_lost
        return ended_by_others and meant and not self.timed_out

    @property
    def succeeded(self) -> bool:
        """Whether the exit code says so."""
        return self.code == 0 and not self.timed_out

    @property
    def _was_lost(self) -> bool:
        return self.code is None and self.signum is None

    def __str__(self) -> str:
        if self.timed_out:
            return f"ended after {self.seconds:.0f} s, its timeout"
        if self.signum is not None:
            hint = " (out of memory?)" if self.signum == signal.SIGKILL else ""
            return f"killed by {signal.Signals(self.signum).name}{hint}"
        if self._was_lost:
            return "its worker was lost, and left no result"
        return f"exit code {self.code}"


class Watcher(Protocol):
    """Is told what happens; its calls must be short."""

    def started(self, task: Task) -> None:
        """A process was started."""
        ...

    def ended(self, ended: Ended) -> bool:
        """Take note of an end, and tell whether the task did well."""
        ...

    def turn(self, running: Sequence[Task], waiting: int) -> None:
        """Called many times a second."""
        ...


@dataclass
class _Place:
    task: Task
    slot: dict[str, str]
    work: Running
    since: float
    asked: float | None = None
    killed: float | None = None
    timed_out: bool = False


@dataclass(frozen=True)
class Limits:
    """What holds for all tasks of a pool.

    Args:
        stagger: seconds between two starts.
        timeout: seconds after which a task is ended; None never.
        fail_fast: end the others at the first that does not do well.
    """

    stagger: float = 0.0
    timeout: float | None = None
    fail_fast: bool = False


def sleep(running: Sequence[Running], seconds: float) -> None:
    """Wait, whatever the running tasks do: of some engines' none can be waited for."""
    del running
    time.sleep(seconds)


@dataclass
class Pool:
    """Run tasks, one per free slot.

    Args:
        slots: what each place gives its task: environment variables.
        start: sets a task to work in a slot.
        watcher: is told what happens.
        limits: of all tasks.
        poll_seconds: between two looks at them.
        supply: makes a further task when there is a place for it; None is for: not now.
        preemptible: whether others than the pool may ask its tasks to end, as a cluster does.
        pause: waits between two looks, and may come back early when a task has ended.
    """

    slots: Sequence[dict[str, str]]
    start: Start
    watcher: Watcher
    limits: Limits = field(default_factory=Limits)
    poll_seconds: float = POLL_SECONDS
    supply: Callable[[], Task | None] | None = None
    preemptible: bool = False
    pause: Callable[[Sequence[Running], float], None] = sleep

    def run(self, tasks: Sequence[Task]) -> list[Ended]:
        """Run all tasks; whatever ends this call ends their processes first.

        Returns:
            How each ended, in order of their ends; shorter than the tasks after fail_fast.
        """
        self._waiting = deque(tasks)
        self._free = deque(self.slots)
        self._running: list[_Place] = []
        self._ended: list[Ended] = []
        self._latest = -float("inf")
        try:
            self._fill()
            while self._waiting or self._running:
                self._reap()
                self._fill()
                self._hurry()
                self.watcher.turn([r.task for r in self._running], len(self._waiting))
                self._wait()
        finally:
            self._end_all()
        return self._ended

    def _wait(self) -> None:
        self.pause([r.work for r in self._running], self.poll_seconds)

    def ask(self, task: Task) -> None:
        """Ask one task to end; it may save its state first."""
        for running in self._running:
            if running.task is task:
                self._ask(running)

    def _fill(self) -> None:
        while self._free and (self._waiting or self._has_more()):
            if time.monotonic() - self._latest < self.limits.stagger:
                return
            task, slot = self._waiting.popleft(), self._free.popleft()
            self._latest = time.monotonic()
            work = self.start(task, slot)
            self._running.append(_Place(task, slot, work, self._latest))
            self.watcher.started(task)

    def _has_more(self) -> bool:
        more = self.supply() if self.supply else None
        self._waiting.extend([more] if more else [])
        return more is not None

    def _reap(self) -> None:
        for running in list(self._running):
            code = running.work.poll()
            if code is None:
                continue
            self._running.remove(running)
            self._free.append(running.slot)
            ended = self._end_of(running, code)
            self._ended.append(ended)
            if not self.watcher.ended(ended) and self.limits.fail_fast:
                self._waiting.clear()
                self.supply = None
                self._ask_all()

    def _hurry(self) -> None:
        now = time.monotonic()
        for running in self._running:
            limit = self.limits.timeout
            if running.asked is None and limit is not None and now - running.since > limit:
                running.timed_out = True
                self._ask(running)
            latest = running.killed or running.asked
            if latest is not None and now - latest > GRACE_SECONDS:
                running.killed = now  # of a queue it takes a command, and a while
                running.work.kill()

    def _ask(self, running: _Place) -> None:
        if running.asked is None:
            running.asked = time.monotonic()
            running.work.ask()

    def _ask_all(self) -> None:
        for running in self._running:
            self._ask(running)

    def _end_all(self) -> None:
        self._ask_all()
        while self._running:
            self._reap()
            self._hurry()
            self._wait()

    def _end_of(self, running: _Place, code: int) -> Ended:
        known = None if code == LOST else code
        exited, signum = (None, -code) if code < 0 else (known, None)
        return Ended(
            task=running.task,
            code=exited,
            signum=signum,
            seconds=time.monotonic() - running.since,
            timed_out=running.timed_out,
            asked=running.asked is not None,
            preemptible=self.preemptible,
        )


MakePool = Callable[[Sequence[Task], Watcher, Limits], Pool]
"""Makes the pool for some tasks; a pool with a supply gets further ones like them."""
