"""From Hydra's batch of jobs to submitit's and back."""

import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, setup_globals

from hydra_plugins.rnnexp_local_launcher._core import THREADS
from hydra_plugins.rnnexp_local_launcher._pool import Limits, Pool
from hydra_plugins.rnnexp_local_launcher._processes import LauncherError, Running, Start, Task
from hydra_plugins.rnnexp_local_launcher._remote import own_tasks
from hydra_plugins.rnnexp_local_launcher.local_launcher import LocalLauncher
from hydra_plugins.rnnexp_submitit_launcher._job import Requeued

LATE_SECONDS = 10.0


def launch(
    launcher: LocalLauncher, cluster: str, job_overrides: Sequence[Sequence[str]], first: int
) -> list[JobReturn]:
    """Run a batch of jobs whose task function brings its own tasks."""
    setup_globals()
    own = own_tasks(launcher, f"submitit_{cluster}")
    assert launcher.config is not None
    folder = Path(str(launcher.config.hydra.sweep.dir), ".submitit")
    executor = make_executor(cluster, folder, launcher.options)
    tasks, watcher, limits = own(job_overrides, first, launcher.config)
    if limits.timeout is not None:
        raise LauncherError(
            f"sweep.timeout={limits.timeout:g}: a queue counts the time of a job. "
            "Use hydra.launcher.timeout_min instead."
        )
    if tasks:
        _pool(executor, cluster, launcher.options, tasks, watcher, limits).run(tasks)
    return [JobReturn(overrides=list(o), status=JobStatus.COMPLETED) for o in job_overrides]


def make_executor(cluster: str, folder: Path, options: dict[str, Any]) -> Any:
    """Make submitit's executor.

    Raises:
        LauncherError: Slurm or submitit is not there.
    """
    missing = [tool for tool in ("sbatch", "srun") if shutil.which(tool) is None]
    if cluster == "slurm" and missing:
        raise LauncherError(
            f"hydra/launcher=submitit_slurm: there is no {missing[0]} on this machine. Submit from "
            "one that belongs to a Slurm cluster, or use hydra/launcher=local."
        )
    try:
        import submitit
    except ImportError as error:
        raise LauncherError(
            f"hydra/launcher=submitit_{cluster}: submitit is not installed. "
            "Install it: pip install 'rnnexp[submitit]'"
        ) from error
    times = int(options["max_num_timeout"])
    if cluster == "slurm":
        executor: Any = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=times)
        executor.update_parameters(**slurm_parameters(options))
        return executor
    local = submitit.LocalExecutor(folder, max_num_timeout=times)
    local.update_parameters(**_local_parameters(options))
    return local


def slurm_parameters(options: dict[str, Any]) -> dict[str, Any]:
    """Name the options as submitit does for Slurm; what is null is left to Slurm."""
    known = {
        "name": "rnnexp",
        "timeout_min": int(options["timeout_min"]),
        "cpus_per_task": int(options["cpus"]),
        "gpus_per_node": int(options["gpus"]) or None,
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


def _local_parameters(options: dict[str, Any]) -> dict[str, Any]:
    return {
        "timeout_min": options["timeout_min"],
        "gpus_per_node": int(options["gpus"]),
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
        self._over: float | None = None

    def poll(self) -> int | None:
        """Ask for the exit code; -SIGKILL where the job left no result."""
        if not self.job.done():
            return None
        if not self.job.paths.result_pickle.exists():
            # submitit would wait for it here; a shared folder may show it late.
            self._over = self._over or time.monotonic()
            return -signal.SIGKILL if time.monotonic() - self._over > LATE_SECONDS else None
        try:
            return int(self.job.result())
        except Exception as error:  # submitit's own, and whatever the job left
            with self.log.open("a", encoding="utf-8") as file:
                print(f"submitit: {str(error).strip()}", file=file)
            return 1

    def ask(self) -> None:
        """Cancel it: a queued job never starts, a running one saves its state."""
        with suppress(Exception):  # it may have ended meanwhile
            self.job.cancel()

    def kill(self) -> None:
        """Cancel it again; the queue ends what does not end by itself."""
        self.ask()


def _pool(
    executor: Any,
    cluster: str,
    options: dict[str, Any],
    tasks: Sequence[Task],
    watcher: Any,
    own: Limits,
) -> Pool:
    limits = Limits(fail_fast=own.fail_fast or options["fail_fast"])
    threads = {name: str(options["threads"]) for name in THREADS}
    at_once = int(options["jobs"] or (len(tasks) if cluster == "slurm" else 1))
    if cluster == "slurm" and at_once >= len(tasks):
        start = _starting_array(executor, tasks, threads)
    else:
        start = _starting_each(executor, threads)
    return Pool([{}] * at_once, start, watcher, limits, float(options["poll_seconds"]))


def _starting_each(executor: Any, threads: dict[str, str]) -> Start:
    def start(task: Task, slot: dict[str, str]) -> Running:
        del slot
        return SubmittedJob(executor.submit(_work(task, threads)), task.log)

    return start


def _starting_array(executor: Any, tasks: Sequence[Task], threads: dict[str, str]) -> Start:
    # One array for all: that is what limits how many run at once, and what an operator sees.
    with executor.batch():
        submitted = [executor.submit(_work(task, threads)) for task in tasks]
    jobs: Iterator[Any] = iter(submitted)

    def start(task: Task, slot: dict[str, str]) -> Running:
        del slot
        return SubmittedJob(next(jobs), task.log)  # the pool takes the tasks in their order

    return start


def _work(task: Task, threads: dict[str, str]) -> Requeued:
    assert task.portable is not None
    return Requeued(task.portable, task.log.resolve(), threads)
