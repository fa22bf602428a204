"""What launchers share whose jobs run elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, setup_globals

from hydra_plugins.rnnexp_local_launcher._processes import LauncherError
from hydra_plugins.rnnexp_local_launcher.local_launcher import LocalLauncher


def launch_own(
    launcher: LocalLauncher, name: str, job_overrides: Sequence[Sequence[str]], first: int
) -> list[JobReturn]:
    """Run a batch of jobs whose task function brings its own tasks.

    Args:
        launcher: one that holds what jobs elsewhere run on.
        name: as it is asked for.
        job_overrides: of the batch.
        first: number of its first job.

    Raises:
        LauncherError: it brings none; only a copy of this process could run its jobs.
    """
    setup_globals()
    own = _own_tasks(launcher, name)
    with launcher.pools() as make:
        tasks, watcher, limits = own(job_overrides, first, launcher.config)
        if tasks:
            make(tasks, watcher, limits).run(tasks)
    return [JobReturn(overrides=list(o), status=JobStatus.COMPLETED) for o in job_overrides]


def _own_tasks(launcher: LocalLauncher, name: str) -> Callable[..., Any]:
    assert launcher.config is not None
    own = getattr(launcher.task_function, "sweep_tasks", None)
    if own is None:
        raise LauncherError(
            f"hydra/launcher={name} runs programs whose task function has a method sweep_tasks, "
            "which makes tasks that can be pickled; hydra/launcher=local runs any."
        )
    return own


@dataclass(frozen=True)
class Need:
    """What a job takes of the machine that it runs on.

    Args:
        cpus: cores, of all its processes together.
        gpus: how many, or a share of one.
        threads: CPU threads of each process.
    """

    cpus: float
    gpus: float
    threads: int

    def __str__(self) -> str:
        cpus = f"{self.cpus:g} CPU{'' if self.cpus == 1 else 's'}"
        return f"{cpus} and {self.gpus:g} GPU{'' if self.gpus == 1 else 's'}"


def need_of(options: Mapping[str, Any], task: object, has_gpus: bool = False) -> Need:
    """Say what a job takes: what the options name, else what its devices ask for.

    A job of n devices is n processes: each has its threads and, unless it trains on CPUs, a GPU.

    Args:
        options: ``cpus``, ``gpus`` and ``threads`` of the launcher; null follows the job.
        task: may say its ``devices``, and whether it ``wants_gpu`` or even ``needs_gpu``.
        has_gpus: whether there is a GPU for a job that can do without.

    Raises:
        LauncherError: the options name less than the devices of the job.
    """
    devices = int(getattr(task, "devices", 1))
    needs = bool(getattr(task, "needs_gpu", False))
    wants = needs or bool(getattr(task, "wants_gpu", False))
    gpus = _gpus(options["gpus"], devices, wants, needs, has_gpus)
    cpus, threads = options["cpus"], options["threads"]
    if cpus is not None and cpus < devices > 1 and not (wants and gpus):
        raise LauncherError(
            f"hydra.launcher.cpus={cpus:g}: a job of {devices} devices is {devices} processes, "
            f"with a core each. Name {devices} or more, or null for as many as it takes."
        )
    if threads is None:
        threads = 1 if cpus is None else max(1, int(cpus) // devices)
    return Need(float(threads * devices if cpus is None else cpus), gpus, int(threads))


def _gpus(named: float | None, devices: int, wants: bool, needs: bool, has_gpus: bool) -> float:
    if named is None:
        return float(devices) if needs or (wants and has_gpus) else 0.0
    if named < 0 or (named > 1 and named != int(named)):
        raise LauncherError(
            f"hydra.launcher.gpus={named:g}: a job takes whole GPUs, or a share of one such as 0.5."
        )
    short = named < devices if devices > 1 else named == 0
    if short and (needs or (wants and named)):
        raise LauncherError(
            f"hydra.launcher.gpus={named:g}: a job of {devices} device{'s' if devices > 1 else ''} "
            f"takes a GPU for each. Name {devices} or more, or null for as many as it takes."
        )
    return float(named)


def room_for(
    machines: Sequence[Mapping[str, float]], needs: Sequence[Need], wanted: int | None
) -> int:
    """Count how many jobs have room at once: as many as there are of the smallest.

    Args:
        machines: what each has, by the names ``CPU`` and ``GPU``; a job runs on one of them.
        needs: of the jobs.
        wanted: how many are asked for; None for as many as there is room for.

    Raises:
        LauncherError: one of them fits on no machine.
    """
    rooms = {need: sum(_room_on(machine, need) for machine in machines) for need in needs}
    for need, room in rooms.items():
        if room == 0:
            cpus, gpus = ([machine.get(name, 0.0) for machine in machines] for name in _KINDS)
            raise LauncherError(
                f"hydra/launcher=ray: a job asks for {need}, and no machine of the cluster has as "
                f"many: {max(cpus, default=0):g} and {max(gpus, default=0):g} at most. Ask for "
                "less by hydra.launcher.cpus and .gpus, or by fewer devices; more than 0 of one."
            )
    return int(wanted or max(rooms.values()))


_KINDS = ("CPU", "GPU")


def _room_on(machine: Mapping[str, float], need: Need) -> int:
    wanted = zip(_KINDS, (need.cpus, need.gpus), strict=True)
    fits = [int(machine.get(kind, 0.0) / n + 1e-9) for kind, n in wanted if n]
    return min(fits, default=0)
