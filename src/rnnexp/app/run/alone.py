"""One process at a time in the folder of a run that is no job of a sweep."""

import os
import platform
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rnnexp.app.config.build import Plan
from rnnexp.app.jobs.lease import LEASE_SECONDS, Holder, acquire, at_work_in, holder_of
from rnnexp.errors import ConfigError


@contextmanager
def alone_in(folder: Path) -> Generator[None]:
    """Hold the folder of a run for the time of the block; that of a dead process is taken over.

    Args:
        folder: the run's.

    Raises:
        ConfigError: a living process has it; says which one, and what to do.
    """
    lease = acquire(folder)
    if lease is None:
        raise _taken(folder, holder_of(folder))
    with lease.beating():
        yield


def check_free(folder: Path) -> None:
    """Look whether nobody is at work in the folder of a run, without touching it.

    Raises:
        ConfigError: a living process is.
    """
    holder = at_work_in(folder)
    if holder is not None:
        raise _taken(folder, holder)


def check_started_once(plans: Sequence[Plan]) -> None:
    """Refuse a run of several devices that Slurm has started once per device.

    Args:
        plans: those of the command.

    Raises:
        ConfigError: it has; says how to start it once.
    """
    devices = max(plan.values["trainer"]["devices"] for plan in plans)
    tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
    # A shell on a terminal (srun --pty) is the only one of its step, however many were asked for.
    if devices > 1 and tasks > 1 and not os.isatty(0):
        raise ConfigError(
            f"trainer.devices={devices}: srun has started this command {tasks} times, and rnnexp "
            "starts the processes of a run itself. Start it once, with the cores of all of them: "
            "srun -n 1 -c CORES"
        )


def _taken(folder: Path, holder: Holder | None) -> ConfigError:
    who = holder or "another process"  # one that has ended while it was asked for
    return ConfigError(
        f"{folder}: {who} is at work on this run, and two at once would spoil its record and its "
        f"checkpoints. Wait for its end and give the same command again{_how_to_end(holder)}."
    )


def _how_to_end(holder: Holder | None) -> str:
    if holder is None:
        return ""
    stop = f", or stop it first: kill {holder.pid}"
    if holder.host == platform.node():
        return f"{stop} has it save a checkpoint and end"
    return (
        f"{stop} on {holder.host} has it save a checkpoint and end. If that machine is down, the "
        f"run is free {LEASE_SECONDS:.0f} s after its last sign of life"
    )
