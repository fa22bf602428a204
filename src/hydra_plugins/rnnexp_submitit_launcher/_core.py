"""The pool of a sweep by submitit."""

import math
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra_plugins.rnnexp_local_launcher._core import THREADS
from hydra_plugins.rnnexp_local_launcher._pool import Limits, MakePool, Pool
from hydra_plugins.rnnexp_local_launcher._processes import (
    LOST,
    LauncherError,
    Running,
    Start,
    Task,
    unheard,
)
from hydra_plugins.rnnexp_local_launcher._remote import Need, need_of
from hydra_plugins.rnnexp_local_launcher.local_launcher import LocalLauncher
from hydra_plugins.rnnexp_submitit_launcher._job import STOPPED, Requeued

LATE_SECONDS = 10.0


@contextmanager
def pools(launcher: LocalLauncher, cluster: str) -> Generator[MakePool]:
    """Hold a queue, to which jobs are submitted from here."""
    assert launcher.config is not None
    check_queue(cluster)
    if cluster == "slurm":
        from hydra_plugins.rnnexp_submitit_launcher._states import watch_states

        watch_states()
    queue = Queue(
        Path(str(launcher.config.hydra.sweep.dir), ".submitit"), cluster, launcher.options
    )

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


class Queue:
    """Where jobs are submitted, each with what it takes.

    Args:
        folder: takes what submitit writes.
        cluster: slurm, or local.
        options: the launcher's.
    """

    def __init__(self, folder: Path, cluster: str, options: dict[str, Any]) -> None:
        self.cluster, self.options = cluster, options
        self._executor_for = cache(lambda need: make_executor(cluster, folder, options, need))

    def submit(self, task: Task) -> SubmittedJob:
        """Submit one job."""
        need = need_of(self.options, task)
        threads = {name: str(need.threads) for name in THREADS}
        assert task.portable is not None
        work = Requeued(task.portable, task.log.resolve(), threads)
        if self.cluster == "slurm":
            return SubmittedJob(self._executor_for(need).submit(work), task.log)
        # What a terminal sends is for the command, which asks its jobs to end.
        with unheard(signal.SIGINT, signal.SIGHUP):
            return LocalJob(self._executor_for(need).submit(work), task.log)

    def submit_arrays(self, tasks: Sequence[Task]) -> dict[Path, SubmittedJob]:
        """Submit jobs; those that take the same are one array, by which a queue limits them."""
        submitted: dict[Path, SubmittedJob] = {}
        needs = [need_of(self.options, task) for task in tasks]
        for need in dict.fromkeys(needs):
            alike = [task for task, other in zip(tasks, needs, strict=True) if other == need]
            with self._executor_for(need).batch():
                submitted.update({task.log: self.submit(task) for task in alike})
        return submitted


def _pool(queue: Queue, tasks: Sequence[Task], watcher: Any, own: Limits) -> Pool:
    options, on_slurm = queue.options, queue.cluster == "slurm"
    limits = Limits(fail_fast=own.fail_fast or options["fail_fast"])
    at_once = int(options["jobs"] or (len(tasks) if on_slurm else 1))
    whole = on_slurm and at_once >= len(tasks)
    start = _starting(queue, queue.submit_arrays(tasks) if whole else {})
    poll = float(options["poll_seconds"])
    return Pool([{}] * at_once, start, watcher, limits, poll, preemptible=True)


def _starting(queue: Queue, submitted: Mapping[Path, SubmittedJob]) -> Start:
    def start(task: Task, slot: dict[str, str]) -> Running:
        del slot
        return submitted.get(task.log) or queue.submit(task)

    return start
