"""A job that is asked to end does, at whatever moment; and none outlives its launcher."""

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hydra_plugins.rnnexp_local_launcher import _pool, _processes
from hydra_plugins.rnnexp_local_launcher._hydra import Lines

from ..waiting import comes_true, is_alive

LAUNCHER = """
import os, signal, subprocess, sys, time
from pathlib import Path
from hydra_plugins.rnnexp_local_launcher import _processes

class Job:
    name, log, command, portable = "a job", Path("log.txt"), None, None

    def run(self):
        time.sleep(60)

class Deaf(Job):
    def run(self):
        signal.signal(signal.SIGTERM, lambda *_: None)
        child = subprocess.Popen(["sleep", "60"])
        Path("pids.tmp").write_text(f"{os.getpid()} {child.pid}")
        Path("pids.tmp").rename("pids.txt")
        while True:
            time.sleep(1)

def taken():
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, lambda *_: taken())
start = _processes.forking(_processes.Lifeline())
"""

ASKED_AT_ONCE = """
jobs = []
for after in [0, 0.0005, 0.001, 0.002, 0.004] * 6:
    jobs.append(start(Job(), {}))
    time.sleep(after)
    jobs[-1].ask()
time.sleep(5)
print([job.poll() for job in jobs])
"""

KILLED = """
_processes.GRACE_SECONDS = 0.5
start(Deaf(), {})
while not Path("pids.txt").exists():
    time.sleep(0.02)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_job_hears_what_is_asked_just_after_its_start(python, workdir: Path) -> None:
    done = python("-c", LAUNCHER + ASKED_AT_ONCE, cwd=workdir)
    assert done.out.strip() == str([-15] * 30), done.err


def test_a_job_deaf_to_sigterm_ends_with_a_killed_launcher(python, workdir: Path) -> None:
    done = python("-c", LAUNCHER + KILLED, cwd=workdir)
    assert done.code == -9, done.err
    pids = [int(pid) for pid in (workdir / "pids.txt").read_text().split()]
    assert comes_true(lambda: not any(map(is_alive, pids)), 20)


class Dying:
    """A job that needs some seconds to die, as in a queue."""

    def __init__(self, code: int = 1) -> None:
        self.code = code
        self.kills = 0
        self.polls = 0

    def poll(self) -> int | None:
        self.polls += 1
        return self.code if self.polls > 40 else None

    def ask(self) -> None: ...

    def kill(self) -> None:
        self.kills += 1


def test_a_job_is_not_killed_at_every_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pool, "GRACE_SECONDS", 0.1)
    job = Dying()
    limits = _pool.Limits(timeout=0.0)
    pool = _pool.Pool([{}], lambda task, slot: job, Lines(1), limits, poll_seconds=0.01)
    (ended,) = pool.run([cast(Any, SimpleNamespace(name="a job"))])
    assert ended.timed_out
    assert 1 <= job.kills <= 5


def test_a_lost_worker_is_not_taken_for_one_that_memory_has_ended() -> None:
    pool = _pool.Pool([{}], lambda task, slot: Dying(_processes.LOST), Lines(1), poll_seconds=0.001)
    (ended,) = pool.run([cast(Any, SimpleNamespace(name="a job"))])
    assert str(ended) == "its worker was lost, and left no result"
    assert not ended.succeeded


def _process(code: str) -> _processes.Process:
    child = subprocess.Popen([sys.executable, "-c", code])
    child.returncode = 0  # the test waits for it
    return _processes.Process(child.pid)


def test_a_pause_ends_with_the_first_process_that_ends() -> None:
    lasting, short = _process("import time; time.sleep(60)"), _process("")
    begun = time.monotonic()
    _processes.until_an_end([lasting, cast(Any, Dying()), short], 30.0)
    assert time.monotonic() - begun < 20
    assert (lasting.poll(), short.poll()) == (None, 0)
    lasting.kill()


@pytest.mark.parametrize("running", [[], [Dying()]])
def test_a_pause_lasts_where_no_process_can_be_waited_for(running: list[Any]) -> None:
    begun = time.monotonic()
    _processes.until_an_end(running, 0.05)
    assert time.monotonic() - begun >= 0.05


def test_a_pause_without_handles_of_processes_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.pidfd_open", raising=False)
    ended = _process("")
    begun = time.monotonic()
    _processes.until_an_end([ended], 0.05)
    assert time.monotonic() - begun >= 0.05
    while ended.poll() is None:
        time.sleep(0.01)
