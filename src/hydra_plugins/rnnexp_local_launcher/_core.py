"""From Hydra's batch of jobs to processes and back."""

import os
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, setup_globals

from hydra_plugins.rnnexp_local_launcher._copies import copy_computes, fork_is_safe
from hydra_plugins.rnnexp_local_launcher._hydra import Lines, hydra_task
from hydra_plugins.rnnexp_local_launcher._options import check_options
from hydra_plugins.rnnexp_local_launcher._pool import Limits, MakePool, Pool
from hydra_plugins.rnnexp_local_launcher._processes import (
    LauncherError,
    Lifeline,
    Start,
    Task,
    forking,
    hear_of_ends,
    spawning,
    until_an_end,
)
from hydra_plugins.rnnexp_local_launcher._remote import launch_own

if TYPE_CHECKING:
    from hydra_plugins.rnnexp_local_launcher.local_launcher import LocalLauncher

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def launch(
    launcher: "LocalLauncher", job_overrides: Sequence[Sequence[str]], first: int
) -> list[JobReturn]:
    """Run a batch of jobs.

    A task function with a method ``sweep_tasks(job_overrides, first, config)`` makes its own
    tasks, watches them and judges them; any other function is forked, once per job, with the
    config that Hydra composes for it.
    """
    if hasattr(launcher.task_function, "sweep_tasks"):
        return launch_own(launcher, "local", job_overrides, first)
    setup_globals()
    with launcher.pools() as make:
        jobs = [hydra_task(launcher, list(o), first + i) for i, o in enumerate(job_overrides)]
        make(jobs, Lines(len(jobs)), Limits()).run(jobs)
    return [job.result() for job in jobs]


@contextmanager
def pools(launcher: "LocalLauncher") -> Generator[MakePool]:
    """Hold the processes of this machine, which takes no holding."""
    check_options(launcher.options)
    yield partial(make_pool, launcher.options)


def make_pool(options: dict[str, Any], tasks: Sequence[Task], watcher: Any, own: Limits) -> Pool:
    """Make the pool that the launcher's options and the needs of its tasks ask for."""
    gpus, devices = needs_of(options, tasks)
    timeout = own.timeout if own.timeout is not None else options["timeout"]
    limits = Limits(options["stagger"], timeout, own.fail_fast or options["fail_fast"])
    start = _start(options, bool(gpus), all(task.command for task in tasks))
    return Pool(slots_of(options, gpus, devices), start, watcher, limits, pause=until_an_end)


def needs_of(options: dict[str, Any], tasks: Sequence[Task]) -> tuple[list[str], int]:
    """List the GPUs to hand out to tasks, and tell how many devices one of them takes at once."""
    gpus = gpus_of(options, any(getattr(task, "wants_gpu", False) for task in tasks))
    return gpus, max((getattr(task, "devices", 1) for task in tasks), default=1)


def slots_of(
    options: dict[str, Any], gpus: Sequence[str], devices: int = 1
) -> list[dict[str, str]]:
    """List the places for jobs: one per GPU and share of it, or one per so many cores.

    Args:
        options: the launcher's.
        gpus: ids of those that may be used.
        devices: how many GPUs, or processes of so many threads, a job takes at once.

    Raises:
        LauncherError: there are fewer GPUs than one job takes.
    """
    threads: dict[str, str] = {name: str(options["threads"]) for name in THREADS}
    if gpus:
        if len(gpus) < devices:
            raise LauncherError(
                f"A job takes {devices} GPUs at once, and there are {len(gpus)}: {', '.join(gpus)}."
            )
        whole = range(0, len(gpus) - devices + 1, devices)
        groups = [",".join(gpus[i : i + devices]) for i in whole]
        places = [{**threads, "CUDA_VISIBLE_DEVICES": group} for group in groups]
        slots = places * int(options["jobs_per_gpu"])
        return slots[: options["jobs"]] if options["jobs"] else slots
    count = (
        int(options["jobs"])
        if options["jobs"]
        else max(1, cores() // (int(options["threads"]) * devices))
    )
    return [threads] * count


def cores() -> int:
    """Count the cores that this process may use; all of the machine where the system has no say."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpus_of(options: dict[str, Any], wanted: bool) -> list[str]:
    """List the GPUs to hand out: those that are named, else all that this process may see."""
    if options["gpus"] is not None:
        return [str(gpu) for gpu in options["gpus"]]
    if not wanted:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # As CUDA reads it: what stands behind an entry that names none is not seen.
        names = (name.strip() for name in visible.split(","))
        return list(takewhile(lambda name: name and not name.startswith("-"), names))
    try:  # not through torch: a CUDA context here would be a burden to every job
        query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return []


def _start(options: dict[str, Any], on_gpu: bool, has_commands: bool) -> Start:
    hear_of_ends()
    lifeline, wanted = Lifeline(), options["start"]
    if wanted == "spawn" and not has_commands:
        raise LauncherError(
            "hydra.launcher.start=spawn: the jobs of a task function without a method sweep_tasks "
            "are copies of this process, and no new interpreter can run them. Leave it at auto."
        )
    if has_commands and wanted != "fork" and (wanted == "spawn" or on_gpu or not fork_is_safe()):
        return spawning(lifeline)
    threads = int(options["threads"])
    if not copy_computes(threads):
        raise LauncherError(
            f"hydra.launcher.threads={threads}: torch has computed with several threads before the "
            "first job. Its threads are gone in a copy of this process, as each job is one, and "
            "the job would wait for them for ever. Give hydra.launcher.threads=1, or have torch "
            "compute in the task function only."
        )
    return forking(lifeline)
