"""Two ways to make a process of a task: a copy of this one, or a new interpreter."""

import gc
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from hydra.errors import CompactHydraException

LIFELINE = "RNNEXP_LIFELINE"
"""Number of the pipe that ends when the launcher does, in a new interpreter."""
GRACE_SECONDS = 20.0
"""How long a job that is asked to end may take to save its state."""
LOST = 256
"""What `Running.poll` says of a task whose worker is gone; no process has it for an exit code."""
ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that ask a process to end."""


class Task(Protocol):
    """One job.

    A task that is to run in a new interpreter says by which command.
    """

    @property
    def name(self) -> str:
        """How it is called before a person."""
        ...

    @property
    def log(self) -> Path:
        """The file that takes what it prints."""
        ...

    @property
    def command(self) -> list[str] | None:
        """What starts it in a new interpreter; None where only a copy can run it."""
        ...

    @property
    def portable(self) -> Callable[[], int] | None:
        """The work as a function that can be pickled, for another machine; None if it cannot."""
        ...

    def run(self) -> int:
        """Do the work, in its own process; return the exit code."""
        ...


class Running(Protocol):
    """A task at work, wherever that is."""

    def poll(self) -> int | None:
        """Return its exit code, minus the signal that ended it, or `LOST`; None while it runs."""
        ...

    def ask(self) -> None:
        """Ask it to save its state and end."""
        ...

    def kill(self) -> None:
        """End it."""
        ...


Start = Callable[[Task, dict[str, str]], Running]


class LauncherError(CompactHydraException):
    """What a launcher was asked for cannot be had; said before the first job."""


@dataclass(frozen=True)
class Process:
    """A child of this process that leads a group of its own.

    Nothing that it started is left over when it has ended, as long as this process lives.
    """

    pid: int

    def poll(self) -> int | None:
        """Look whether it has ended; what it may have started itself then ends, too."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(status)

    def ask(self) -> None:
        """Send SIGTERM."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._signal(signal.SIGKILL)

    def _signal(self, signum: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            try:
                os.killpg(self.pid, signum)
            except ProcessLookupError:  # a fresh copy does not lead its group yet
                os.kill(self.pid, signum)


def until_an_end(running: Sequence[Running], seconds: float) -> None:
    """Wait for a time, or until one of some processes of this machine has ended."""
    handles: list[int] = []
    try:
        handles.extend(os.pidfd_open(r.pid) for r in running if isinstance(r, Process))
        select.select(handles, [], [], seconds)
    except (AttributeError, OSError, ValueError):  # no Linux, or too many open files
        time.sleep(seconds)
    finally:
        for handle in handles:
            os.close(handle)


class Lifeline:
    """A pipe whose writing end only the launcher holds: it ends when the launcher dies."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()

    def tie(self) -> None:
        """In a job's process: ask it to end when the launcher is gone."""
        os.close(self.writing)
        end_with(self.reading)


def end_with(pipe: int) -> None:
    """Send this process SIGTERM when a pipe ends; what is left of its group later, SIGKILL."""

    def wait() -> None:
        os.read(pipe, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def tie_to_launcher() -> None:
    """In a new interpreter: end with the launcher that started it, if one did."""
    number = os.environ.pop(LIFELINE, None)
    if number is not None:
        end_with(int(number))


@contextmanager
def unheard(*signums: signal.Signals) -> Generator[None]:
    """Start processes, during the block, that never hear some signals: a child inherits the mask.

    Args:
        signums: this process hears them a little later.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signums)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def heard_after(*signums: signal.Signals) -> Generator[None]:
    """Hear some signals when the block is over.

    To block them does not do: another thread of this process would take one, and Python would have
    the main thread heed it at once.

    Args:
        signums: in another thread than the main one, which hears none, this changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    before = {s: signal.signal(s, lambda number, _: heard.append(number)) for s in signums}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)
        for signum in heard:
            signal.raise_signal(signum)


def hear_of_ends() -> None:
    """Have the system keep how a child has ended, where the caller of this process ignores it.

    Python's ``subprocess`` would take every end for a good one, and `Process` would find none.
    """
    if threading.current_thread() is threading.main_thread():  # no other may say
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def forking(lifeline: Lifeline) -> Start:
    """Start tasks as copies of this process: what is imported is imported already."""
    gc.collect()
    gc.freeze()  # no copy looks through what was here before it, and so copies no page of it

    def start(task: Task, slot: dict[str, str]) -> Running:
        sys.stdout.flush()
        sys.stderr.flush()
        with unheard(*ASKING):  # until the copy takes them itself, not as this process does
            pid = os.fork()
            if pid == 0:
                _be_child(task, slot, lifeline)
        return Process(pid)

    return start


def spawning(lifeline: Lifeline) -> Start:
    """Start tasks in new interpreters, whose environment is set before anything is imported."""

    def start(task: Task, slot: dict[str, str]) -> Running:
        command = task.command
        if command is None:
            raise ValueError(f"{task.name} has no command: it can only be forked.")
        environment = {**_without_ranks(os.environ), **slot, LIFELINE: str(lifeline.reading)}
        environment["PYTHONUNBUFFERED"] = "1"  # a job that is killed has printed what it said
        task.log.parent.mkdir(parents=True, exist_ok=True)
        with task.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[lifeline.reading],
            )
        process.returncode = 0  # the pool waits for it
        return Process(process.pid)

    return start


def _be_child(task: Task, slot: dict[str, str], lifeline: Lifeline) -> None:
    code = 1
    try:
        os.setsid()
        for signum in ASKING:
            signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKING)
        _redirect(task.log)
        lifeline.tie()
        for name in set(os.environ) - set(_without_ranks(os.environ)):
            del os.environ[name]
        os.environ.update(slot)
        code = task.run()
    except SystemExit as error:
        print(f"SystemExit: {error}", file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, opened in enumerate((nothing, file, file)):
        os.dup2(opened, number)
    # A display of the owner's takes what Python prints, and would break its lines. For good, unlike
    # `printing_to`, which keeps the owner's streams open: who reads them would wait for this job.
    sys.stdout, sys.stderr = map(_printing_to, (1, 2))


def _printing_to(number: int) -> TextIO:
    # By lines, whatever the owner's streams do: a job that is killed has printed what it said.
    return open(number, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)


_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def _without_ranks(environment: Mapping[str, str]) -> dict[str, str]:
    # A job that finds them takes itself for a part of the launcher's own process group.
    return {k: v for k, v in environment.items() if k not in _RANKS}
