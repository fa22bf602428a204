"""The pool of a sweep by submitit."""

import math
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from hydra_plugins.rnnexp_local_launcher._core import THREADS
from hydra_plugins.rnnexp_local_launcher._pool import Ended, Limits, MakePool, Pool
from hydra_plugins.rnnexp_local_launcher._processes import (
    ASKING,
    LauncherError,
    Running,
    Start,
    Task,
    heard_after,
    unheard,
)
from hydra_plugins.rnnexp_local_launcher._remote import Need, need_of
from hydra_plugins.rnnexp_local_launcher.local_launcher import LocalLauncher
from hydra_plugins.rnnexp_submitit_launcher._job import Requeued
from hydra_plugins.rnnexp_submitit_launcher._ledger import (
    FOLDER,
    PENDING,
    Ledger,
    cancel,
    largest_array,
)
from hydra_plugins.rnnexp_submitit_launcher._submitted import LocalJob, SubmittedJob


@contextmanager
def pools(launcher: LocalLauncher, cluster: str) -> Generator[MakePool]:
    """Hold a queue, to which jobs are submitted from here."""
    assert launcher.config is not None
    check_queue(cluster)
    if cluster == "slurm":
        from hydra_plugins.rnnexp_submitit_launcher._states import watch_states

        watch_states()
    queue = Queue(Path(str(launcher.config.hydra.sweep.dir), FOLDER), cluster, launcher.options)

    def make(tasks: Sequence[Task], watcher: Any, own: Limits) -> Pool:
        if own.timeout is not None:
            raise LauncherError(
                f"sweep.timeout={own.timeout:g}: a queue counts the time of a job. "
                "Use hydra.launcher.timeout_min instead."
            )
        return _pool(queue, tasks, watcher, own)

    yield make


def check_queue(cluster: str) -> None:
    """Look whether jobs can be submitted from here.

    Raises:
        LauncherError: Slurm or submitit is not there.
    """
    missing = [tool for tool in ("sbatch", "srun") if shutil.which(tool) is None]
    if cluster == "slurm" and missing:
        raise LauncherError(
            f"hydra/launcher=submitit_slurm: there is no {missing[0]} on this machine. Submit from "
            "one that belongs to a Slurm cluster, or use hydra/launcher=local."
        )
    if find_spec("submitit") is None:
        raise LauncherError(
            f"hydra/launcher=submitit_{cluster}: submitit is not installed. "
            "Install it: pip install 'rnnexp[submitit]'"
        )


def make_executor(cluster: str, folder: Path, options: dict[str, Any], need: Need) -> Any:
    """Make submitit's executor for jobs that take so much."""
    import submitit

    times = int(options["max_num_timeout"])
    if cluster == "slurm":
        own = {"slurm_max_num_timeout": times, "slurm_python": _python()}
        executor: Any = submitit.AutoExecutor(folder, cluster="slurm", **own)
        executor.update_parameters(**slurm_parameters(options, need))
        return executor
    local = submitit.LocalExecutor(folder, max_num_timeout=times)
    local.update_parameters(**_local_parameters(options, need))
    return local


def _python() -> str:
    # A warning that comes while Python starts, and submitit cannot hear it yet, ends a process.
    warning = os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2")
    shell = shlex.quote(f'trap "" {warning}; exec "$0" "$@"')
    return f"sh -c {shell} {shlex.quote(sys.executable)}"


def slurm_parameters(options: dict[str, Any], need: Need) -> dict[str, Any]:
    """Name what jobs take, and the options, as submitit does; what is null is left to Slurm."""
    cpus = math.ceil(need.cpus)
    known = {
        "name": "rnnexp",
        "timeout_min": math.ceil(options["timeout_min"]),  # Slurm takes 0 for no limit
        "nodes": 1,
        "tasks_per_node": 1,  # the processes of a job on several devices start one another
        "cpus_per_task": cpus,
        "slurm_srun_args": [f"--cpus-per-task={cpus}"],  # srun no longer takes it from sbatch
        "gpus_per_node": int(need.gpus) or None,
        "mem_gb": options["mem_gb"],
        "slurm_partition": options["partition"],
        "slurm_account": options["account"],
        "slurm_qos": options["qos"],
        "slurm_array_parallelism": int(options["array_parallelism"]),
        "slurm_signal_delay_s": int(options["signal_delay_s"]),
        "slurm_setup": list(options["setup"]) or None,
        "slurm_additional_parameters": dict(options["additional_parameters"]) or None,
    }
    return {key: value for key, value in known.items() if value is not None}


def _local_parameters(options: dict[str, Any], need: Need) -> dict[str, Any]:
    return {
        "timeout_min": options["timeout_min"],
        "gpus_per_node": int(need.gpus),
        "setup": list(options["setup"]),
        "signal_delay_s": int(options["signal_delay_s"]),
    }


class Queue:
    """Where jobs are submitted, each with what it takes.

    Args:
        folder: takes what submitit writes.
        cluster: slurm, or local.
        options: the launcher's.
    """

    def __init__(self, folder: Path, cluster: str, options: dict[str, Any]) -> None:
        self.folder, self.cluster, self.options = folder, cluster, options
        self._ledger = Ledger(folder)
        self._executor_for = cache(lambda need: make_executor(cluster, folder, options, need))

    def submit(self, task: Task) -> SubmittedJob:
        """Submit one job.

        Raises:
            LauncherError: the queue refuses it.
        """
        if self.cluster == "slurm":
            return self.submit_arrays([task])[task.log]
        # What a terminal sends is for the command, which asks its jobs to end.
        with unheard(signal.SIGINT, signal.SIGHUP):
            executor = self._executor_for(need_of(self.options, task))
            return LocalJob(executor.submit(self._work(task)), task.log)

    def submit_arrays(self, tasks: Sequence[Task]) -> dict[Path, SubmittedJob]:
        """Submit jobs; those that take the same are one array, or several if Slurm has a largest.

        A queue limits each array: each has its share of ``array_parallelism``, and one at least.

        Raises:
            LauncherError: the queue refuses one; then none is left in it.
        """
        submitted: dict[Path, SubmittedJob] = {}
        at_once, before = int(self.options["array_parallelism"]), 0
        try:
            for alike in self._arrays(tasks):
                upto = at_once * (len(submitted) + len(alike)) // len(tasks)
                # A signal amid it would leave jobs in the queue whose ids nobody has read.
                with heard_after(*ASKING), unheard(*ASKING):
                    submitted.update(self._submit_array(alike, max(1, upto - before)))
                before = upto
        except BaseException:
            cancel([str(job.job.job_id) for job in submitted.values()])
            raise
        return submitted

    def take_over(self, tasks: Sequence[Task]) -> dict[Path, SubmittedJob]:
        """Take over the jobs that an earlier command has left in the queue; cancel what waits.

        Returns:
            Those that have begun, by their logs; all others are to be submitted.

        Raises:
            LauncherError: the queue does not say what it has.
        """
        logs = {task.log for task in tasks}
        known = {job_id: log for job_id, log in self._ledger.jobs().items() if log in logs}
        told = self._ledger.queued(known)
        waiting = [job_id for job_id, one in told.items() if one.state == PENDING]
        running = {known[job_id]: job_id for job_id in told if job_id not in waiting}
        cancel(waiting)
        for jobs, words in ((running, "run, and are watched"), (waiting, "wait: queued anew")):
            if jobs:
                said = f"{len(jobs)} of an earlier command {words}"
                print(f"hydra/launcher=submitit_slurm: {said}", file=sys.stderr)
        return {log: self._submitted_before(job_id, log) for log, job_id in running.items()}

    def _submitted_before(self, job_id: str, log: Path) -> SubmittedJob:
        from submitit.slurm.slurm import SlurmJob

        return SubmittedJob(SlurmJob(self.folder, job_id), log)

    def _arrays(self, tasks: Sequence[Task]) -> Iterator[Sequence[Task]]:
        largest = (largest_array() if len(tasks) > 1 else None) or len(tasks)
        needs = [need_of(self.options, task) for task in tasks]
        for need in dict.fromkeys(needs):
            alike = [task for task, other in zip(tasks, needs, strict=True) if other == need]
            size = math.ceil(len(alike) / math.ceil(len(alike) / largest))  # all about as large
            yield from (alike[i : i + size] for i in range(0, len(alike), size))

    def _submit_array(self, alike: Sequence[Task], at_once: int) -> dict[Path, SubmittedJob]:
        executor = self._executor_for(need_of(self.options, alike[0]))
        executor.update_parameters(slurm_array_parallelism=at_once)
        with _refusals(), executor.batch():
            jobs = {task.log: executor.submit(self._work(task)) for task in alike}
        with suppress(OSError):  # a full disk: this command knows them all the same
            self._ledger.note({job.job_id: log for log, job in jobs.items()})
        return {log: SubmittedJob(job, log) for log, job in jobs.items()}

    def _work(self, task: Task) -> Requeued:
        threads = {name: str(need_of(self.options, task).threads) for name in THREADS}
        assert task.portable is not None
        return Requeued(task.portable, task.log.resolve(), threads)


@contextmanager
def _refusals() -> Generator[None]:
    from submitit.core.utils import FailedJobError

    try:
        with redirect_stderr(StringIO()):  # submitit prints what it raises
            yield
    except FailedJobError as error:
        lines = (line.removeprefix("sbatch: error: ") for line in str(error).strip().splitlines())
        said = "; ".join(dict.fromkeys(lines))
        limits = "limit" in said.lower() or "unable to accept" in said
        less = " hydra.launcher.jobs=N hands over so many at a time." if limits else ""
        raise LauncherError(
            f"hydra/launcher=submitit_slurm: sbatch refuses: {said}{less}"
        ) from error


@dataclass
class QueuePool(Pool):
    """A pool that begins with what runs already.

    Args:
        taken_over: the logs of such tasks.
    """

    taken_over: Collection[Path] = field(default_factory=set[Path])

    def run(self, tasks: Sequence[Task]) -> list[Ended]:
        """Run all tasks; see `Pool.run`."""
        return super().run(sorted(tasks, key=lambda task: task.log not in self.taken_over))


def _pool(queue: Queue, tasks: Sequence[Task], watcher: Any, own: Limits) -> Pool:
    options, on_slurm = queue.options, queue.cluster == "slurm"
    limits = Limits(fail_fast=own.fail_fast or options["fail_fast"])
    running = queue.take_over(tasks) if on_slurm else {}
    at_once = int(options["jobs"] or (len(tasks) if on_slurm else 1))
    if running:  # a queue does not count them among those of an array
        at_once = max(len(running), min(at_once, int(options["array_parallelism"])))
    anew = [task for task in tasks if task.log not in running]
    whole = on_slurm and at_once >= len(tasks)
    start = _starting(queue, tasks, running | (queue.submit_arrays(anew) if whole else {}))
    poll = float(options["poll_seconds"])
    slots: list[dict[str, str]] = [{}] * at_once
    return QueuePool(slots, start, watcher, limits, poll, preemptible=True, taken_over=running)


def _starting(queue: Queue, known: Sequence[Task], submitted: Mapping[Path, SubmittedJob]) -> Start:
    asked_for = {task.log for task in known}

    def start(task: Task, slot: dict[str, str]) -> Running:
        del slot
        if queue.cluster == "slurm" and task.log not in asked_for:  # a further trial of a search
            left = queue.take_over([task])
            if left:
                return left[task.log]
        return submitted.get(task.log) or queue.submit(task)

    return start
