"""The processes of one run on several devices: started, watched and ended by the first of them."""

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from hydra_plugins.rnnexp_local_launcher._processes import unheard
from rnnexp.app.config.build import Plan
from rnnexp.app.run.threads import threads_of
from rnnexp.errors import EXIT_FAILED, RunError
from rnnexp.tracking.files import read_json, write_json
from rnnexp.training.interrupt import SIGNALS, Stopped
from rnnexp.training.team import ALONE, Place

FILE = "team.json"
PATIENCE_SECONDS = 10.0
"""How long the others may take to end by themselves, and the first to notice that one has died."""
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Orders:
    """What a process needs to take part in a run.

    Args:
        values: the config.
        checkpoint: what training goes on from.
        size: how many processes there are.
        meeting: the file by which they find one another.
        threads: CPU threads of each.
    """

    values: dict[str, Any]
    checkpoint: str | None
    size: int
    meeting: str
    threads: int

    def write(self, folder: Path) -> None:
        """Keep them in the run's folder."""
        write_json(folder / FILE, asdict(self), indent=1)

    @classmethod
    def read(cls, folder: Path) -> "Orders":
        """Read them back."""
        return cls(**read_json(folder / FILE))


@contextmanager
def team(
    plan: Plan, folder: Path, checkpoint: Path | None, give_up: Callable[[str], None]
) -> Generator[Place]:
    """Start the other processes of a run, and end them with the block.

    Args:
        plan: the run's; ``trainer.devices`` says how many processes.
        folder: the run's.
        checkpoint: what training goes on from.
        give_up: writes the record where a process has died and this one waits for it in vain.

    Yields:
        The place of this process: the first.

    Raises:
        RunError: another process has ended early; says how, and where its log is.
    """
    for left in folder.glob(".meeting-*"):  # by a process that was killed
        left.unlink(missing_ok=True)
    if plan.values["trainer"]["devices"] == 1:
        yield ALONE
        return
    orders = _orders(plan, folder, checkpoint)
    others = Others(folder, orders)
    try:
        with others.watched(give_up):
            yield Place(0, orders.size, Path(orders.meeting))
            others.wait()
    except Stopped:
        raise
    except (Exception, SystemExit) as error:
        words = others.lost(PATIENCE_SECONDS) if _is_of_connection(error) else None
        if words is None:
            raise
        raise RunError(words) from error
    finally:
        others.end()
        Path(orders.meeting).unlink(missing_ok=True)


def _orders(plan: Plan, folder: Path, checkpoint: Path | None) -> Orders:
    size = int(plan.values["trainer"]["devices"])
    torch.set_num_threads(threads_of(plan, folder))
    meeting = folder.resolve() / f".meeting-{secrets.token_hex(4)}"
    kept = str(checkpoint) if checkpoint else None
    orders = Orders(dict(plan.values), kept, size, str(meeting), torch.get_num_threads())
    orders.write(folder)
    return orders


class Others:
    """The processes of a run but the first.

    Args:
        folder: the run's.
        orders: what they are to do.
    """

    def __init__(self, folder: Path, orders: Orders) -> None:
        self.folder = folder
        self.size = orders.size
        self._over = threading.Event()
        self._processes = {rank: _start(folder, rank) for rank in range(1, orders.size)}

    def lost(self, patience: float = 0.0) -> str | None:
        """Say which of them has ended early and how, if one has or does in so many seconds."""
        until = time.monotonic() + patience
        while True:
            for rank, process in self._processes.items():
                if process.poll():  # neither running nor 0
                    return self._words(rank, process.returncode)
            if time.monotonic() >= until:
                return None
            time.sleep(_POLL_SECONDS / 4)

    def wait(self) -> None:
        """Wait for them to end by themselves, but not for long: their work is done."""
        until = time.monotonic() + PATIENCE_SECONDS
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))

    def end(self) -> None:
        """End those that still run, and leave the group."""
        for process in self._processes.values():
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()
        if distributed.is_initialized():
            distributed.destroy_process_group()

    @contextmanager
    def watched(self, give_up: Callable[[str], None]) -> Generator[None]:
        """Look after them from a thread for the time of the block.

        A connection that breaks is an error here, at once; but where the devices talk by
        themselves, or before there is a connection, this process would wait for ever.
        """
        thread = threading.Thread(target=self._watch, args=(give_up,), name="team", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _watch(self, give_up: Callable[[str], None]) -> None:
        words = None
        while words is None:
            if self._over.wait(_POLL_SECONDS):
                return
            words = self.lost()
        if self._over.wait(PATIENCE_SECONDS):
            return
        print(f"rnnexp: {words}", file=sys.stderr, flush=True)
        try:
            give_up(words)
            self.end_by_force()
        finally:
            os._exit(EXIT_FAILED)

    def end_by_force(self) -> None:
        """End them, from a thread that cannot leave the group."""
        for process in self._processes.values():
            process.kill()

    def _words(self, rank: int, code: int) -> str:
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return (
            f"Process {rank} of the {self.size} that train this network {how}, and the others "
            f"cannot go on without it. Its log: {log_of(self.folder, rank)}"
        )


def log_of(folder: Path, rank: int) -> Path:
    """Name the file that takes what a process prints."""
    return folder / f"rank{rank}.log"


def _start(folder: Path, rank: int) -> "subprocess.Popen[bytes]":
    # In this process's group: whoever ends that ends them. Their stdin ends when this process
    # does, and they with it. Ctrl-C and Slurm's warning go to every process of a job and would end
    # them, while they start at the latest: the first one hears it for all.
    words = (signal.SIGUSR1, signal.SIGUSR2, *SIGNALS)
    with log_of(folder, rank).open("ab") as log, unheard(*words):
        return subprocess.Popen(
            [sys.executable, "-m", "rnnexp.app.run.member", str(folder), str(rank)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},  # its log is whole where it is killed
        )


def _is_of_connection(error: BaseException) -> bool:
    # gloo's errors have no type of their own.
    texts = ("gloo", "Connection closed by peer", "Connection reset by peer")
    return isinstance(error, distributed.DistError) or any(text in str(error) for text in texts)
