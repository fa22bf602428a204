"""From Hydra's batch of jobs to processes and back."""

import os
import pickle
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from hydra_plugins.rnnexp_local_launcher._options import check_options
from hydra_plugins.rnnexp_local_launcher._pool import Ended, Limits, MakePool, Pool
from hydra_plugins.rnnexp_local_launcher._processes import (
    LauncherError,
    Lifeline,
    Start,
    Task,
    fork_is_safe,
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
    gpus = gpus_of(options, any(getattr(task, "wants_gpu", False) for task in tasks))
    timeout = own.timeout if own.timeout is not None else options["timeout"]
    limits = Limits(options["stagger"], timeout, own.fail_fast or options["fail_fast"])
    start = _start(options["start"], bool(gpus), all(task.command for task in tasks))
    devices = max((getattr(task, "devices", 1) for task in tasks), default=1)
    return Pool(slots_of(options, gpus, devices), start, watcher, limits, pause=until_an_end)


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


def _start(wanted: str, on_gpu: bool, has_commands: bool) -> Start:
    hear_of_ends()
    lifeline = Lifeline()
    fork = wanted == "fork" or (wanted == "auto" and fork_is_safe() and not on_gpu)
    return forking(lifeline) if fork or not has_commands else spawning(lifeline)


@dataclass
class HydraTask:
    """A job of any Hydra program, run in a copy of its process."""

    function: TaskFunction
    context: HydraContext
    config: DictConfig
    overrides: list[str]
    log: Path
    command: list[str] | None = None
    portable: None = None
    succeeded: bool = True

    @property
    def name(self) -> str:
        """Its overrides."""
        return " ".join(self.overrides)

    def run(self) -> int:
        """Run it as Hydra would, and keep what it returns."""
        done = run_job(
            hydra_context=self.context,
            task_function=self.function,
            config=self.config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        value = done.return_value  # raises what the function has raised
        self._file.write_bytes(pickle.dumps(value))
        return 0

    def result(self) -> JobReturn:
        """Read back what it returned; a job that left nothing has failed."""
        done = JobReturn(overrides=self.overrides, cfg=self.config, status=JobStatus.FAILED)
        done.return_value = RuntimeError(f"{self.name} failed; see {self.log}")
        if self.succeeded:
            done.return_value = pickle.loads(self._file.read_bytes())
            done.status = JobStatus.COMPLETED
        return done

    @property
    def has_result(self) -> bool:
        """Whether it has run to its end, be it under an earlier command."""
        return self._file.is_file()

    @property
    def _file(self) -> Path:
        return self.log.with_suffix(".result")


def hydra_task(launcher: "LocalLauncher", overrides: list[str], number: int) -> HydraTask:
    """Make the task of a job of a program that knows nothing of this launcher."""
    assert launcher.config is not None
    assert launcher.hydra_context is not None
    assert launcher.task_function is not None
    loader = launcher.hydra_context.config_loader
    config = loader.load_sweep_config(launcher.config, overrides)
    with open_dict(config):
        config.hydra.job.id = config.hydra.job.num = number
    folder = Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir))
    log = folder / "log.txt"
    return HydraTask(launcher.task_function, launcher.hydra_context, config, overrides, log)


class Lines:
    """Say in plain lines what happens."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0

    def started(self, task: Task) -> None:
        """Say nothing: the end tells more."""

    def ended(self, ended: Ended) -> bool:
        """Say how a job ended."""
        task = ended.task
        if isinstance(task, HydraTask):
            task.succeeded = ended.succeeded
        self.say(task, str(ended))
        return ended.succeeded

    def say(self, task: Task, how: str) -> None:
        """Say how a job ended, and count it."""
        self.done += 1
        print(f"[{self.done}/{self.total}] {task.name}: {how}", file=sys.stderr)

    def turn(self, running: Sequence[Task], waiting: int) -> None:
        """Say nothing."""
