"""From Hydra's batch of jobs to Ray's tasks and back."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, setup_globals

from hydra_plugins.rnnexp_local_launcher._pool import Limits, Pool
from hydra_plugins.rnnexp_local_launcher._processes import Task
from hydra_plugins.rnnexp_local_launcher._remote import own_tasks
from hydra_plugins.rnnexp_local_launcher.local_launcher import LocalLauncher
from hydra_plugins.rnnexp_ray_launcher._cluster import Cluster

POLL_SECONDS = 0.1


def launch(
    launcher: LocalLauncher, job_overrides: Sequence[Sequence[str]], first: int
) -> list[JobReturn]:
    """Run a batch of jobs whose task function brings its own tasks."""
    setup_globals()
    own = own_tasks(launcher, "ray")
    options = launcher.options
    cluster = Cluster(options)
    if options["address"] is not None:  # an address that leads nowhere is said before all else
        cluster.connect()
    try:
        tasks, watcher, limits = own(job_overrides, first, launcher.config)
        if tasks:
            cluster.connect()
            _pool(cluster, options, tasks, watcher, limits).run(tasks)
    finally:
        cluster.leave()
    return [JobReturn(overrides=list(o), status=JobStatus.COMPLETED) for o in job_overrides]


def _pool(
    cluster: Cluster, options: dict[str, Any], tasks: Sequence[Task], watcher: Any, own: Limits
) -> Pool:
    timeout = own.timeout if own.timeout is not None else options["timeout"]
    limits = Limits(timeout=timeout, fail_fast=own.fail_fast or options["fail_fast"])
    slots: list[dict[str, str]] = [{}] * cluster.room(tasks)
    return Pool(slots, cluster.starting(), watcher, limits, POLL_SECONDS)
