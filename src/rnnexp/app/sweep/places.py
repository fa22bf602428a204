"""Where the jobs of a sweep would run, and how many at once."""

import math
import os
from dataclasses import dataclass
from typing import Any

from hydra_plugins.rnnexp_local_launcher._core import gpus_of, slots_of
from rnnexp.app.config.compose import LauncherChoice


@dataclass(frozen=True)
class Places:
    """Room for jobs.

    Args:
        words: where it is, for a person.
        at_once: how many jobs have room; None where only the cluster knows.
    """

    words: str
    at_once: int | None


def places_of(launcher: LauncherChoice, jobs: int, wants_gpu: bool, devices: int = 1) -> Places:
    """Say where a launcher would run jobs.

    Args:
        launcher: what the command chooses.
        jobs: how many are left to run.
        wants_gpu: whether they ask for one.
        devices: how many a job takes at once.
    """
    if launcher.name == "local":
        return _local(launcher.options, wants_gpu, devices)
    known = {"ray": _ray, "submitit_slurm": _slurm, "submitit_local": _submitit}
    if launcher.name in known:
        return known[launcher.name](launcher.options, jobs, wants_gpu)
    return Places("in this process, one after the other", 1)


def _local(options: dict[str, Any], wants_gpu: bool, devices: int) -> Places:
    gpus = gpus_of(options, wants_gpu)
    slots = len(slots_of(options, gpus, devices))
    threads = f"{slots} at once with {_many(options['threads'], 'thread')} each"
    if gpus:
        return Places(f"on this machine's GPUs {', '.join(gpus)}, {threads}", slots)
    return Places(f"on this machine's {len(os.sched_getaffinity(0))} cores, {threads}", slots)


def _ray(options: dict[str, Any], jobs: int, wants_gpu: bool) -> Places:
    del jobs
    gpus = options["gpus"]
    share = "a GPU where there is one" if gpus is None and wants_gpu else f"{gpus or 0:g} GPUs"
    each = f"{options['cpus']:g} CPUs and {share} each"
    if options["address"] is not None:
        return Places(f"on the Ray cluster at {options['address']}, {each}", options["jobs"])
    cpus = options["num_cpus"] or len(os.sched_getaffinity(0))
    room = [math.floor(cpus / options["cpus"])] if options["cpus"] else []
    if gpus and options["num_gpus"]:
        room.append(math.floor(options["num_gpus"] / gpus))
    at_once = options["jobs"] or min(room, default=None)
    return Places(f"on a Ray cluster of its own on this machine, {each}", at_once)


def _slurm(options: dict[str, Any], jobs: int, wants_gpu: bool) -> Places:
    del wants_gpu
    at_once = min(jobs, options["jobs"] or jobs, options["array_parallelism"])
    where = options["partition"] or "its default"
    each = f"{_many(options['cpus'], 'CPU')} and {_many(options['gpus'], 'GPU')} each"
    limit = f"{options['timeout_min']:g} min before they are queued again"
    return Places(
        f"under Slurm, partition {where}, up to {at_once} at once, {each}, {limit}", at_once
    )


def _submitit(options: dict[str, Any], jobs: int, wants_gpu: bool) -> Places:
    del jobs, wants_gpu
    at_once = options["jobs"] or 1
    return Places(f"on this machine by submitit, {at_once} at once", at_once)


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
