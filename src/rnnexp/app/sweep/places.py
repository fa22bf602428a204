"""Where the jobs of a sweep would run, and how many at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from hydra_plugins.rnnexp_local_launcher._core import cores, gpus_of, needs_of, slots_of
from hydra_plugins.rnnexp_local_launcher._processes import LauncherError, Task
from hydra_plugins.rnnexp_local_launcher._remote import need_of, room_for
from rnnexp.app.config.launchers import LauncherChoice
from rnnexp.errors import ConfigError


@dataclass(frozen=True)
class Places:
    """Room for jobs.

    Args:
        words: where it is, for a person.
        at_once: how many jobs have room; None where only the cluster knows.
    """

    words: str
    at_once: int | None


def places_of(launcher: LauncherChoice, jobs: int, tasks: Sequence[Task]) -> Places:
    """Say where a launcher would run jobs.

    Args:
        launcher: what the command chooses.
        jobs: how many are left to run.
        tasks: the jobs, as the launcher takes them: they say which devices they want.

    Raises:
        ConfigError: the launcher's options are less than a job takes.
    """
    slurm = partial(_slurm, jobs)
    known = {"local": _local, "ray": _ray, "submitit_slurm": slurm, "submitit_local": _submitit}
    if launcher.name not in known:
        return Places("in this process, one after the other", 1)
    try:
        return known[launcher.name](launcher.options, tasks)
    except LauncherError as error:
        raise ConfigError(str(error)) from error


def _local(options: dict[str, Any], tasks: Sequence[Task]) -> Places:
    gpus, devices = needs_of(options, tasks)
    slots = len(slots_of(options, gpus, devices))
    threads = f"{slots} at once with {_many(options['threads'], 'thread')} each"
    if gpus:
        return Places(f"on this machine's GPUs {', '.join(gpus)}, {threads}", slots)
    return Places(f"on this machine's {cores()} cores, {threads}", slots)


def _ray(options: dict[str, Any], tasks: Sequence[Task]) -> Places:
    if options["address"] is not None:
        where = f"on the Ray cluster at {options['address']}"
        open_ = options["gpus"] is None and any(map(_can_do_without, tasks))
        each = _each(options, tasks, True) + (" where it has GPUs" if open_ else "")
        return Places(f"{where}, {each}", options["jobs"])
    cpus = options["num_cpus"] or cores()
    gpus = options["num_gpus"]
    gpus = len(gpus_of({"gpus": None}, True)) if gpus is None else gpus
    needs = [need_of(options, task, gpus > 0) for task in tasks]
    at_once = room_for([{"CPU": cpus, "GPU": gpus}], needs, options["jobs"])
    each = _each(options, tasks, gpus > 0)
    return Places(f"on a Ray cluster of its own on this machine, {each}", at_once)


def _slurm(jobs: int, options: dict[str, Any], tasks: Sequence[Task]) -> Places:
    at_once = min(jobs, options["jobs"] or jobs, options["array_parallelism"])
    where = options["partition"] or "its default"
    each = _each(options, tasks)
    limit = f"{options['timeout_min']:g} min before they are queued again"
    return Places(
        f"under Slurm, partition {where}, up to {at_once} at once, {each}, {limit}", at_once
    )


def _submitit(options: dict[str, Any], tasks: Sequence[Task]) -> Places:
    at_once = options["jobs"] or 1
    each = _each(options, tasks)
    return Places(f"on this machine by submitit, {at_once} at once, {each}", at_once)


def _each(options: dict[str, Any], tasks: Sequence[Task], has_gpus: bool = False) -> str:
    needs = dict.fromkeys(str(need_of(options, task, has_gpus)) for task in tasks)
    return f"{', or '.join(needs)} each"


def _can_do_without(task: Task) -> bool:
    return getattr(task, "wants_gpu", False) and not getattr(task, "needs_gpu", False)


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
