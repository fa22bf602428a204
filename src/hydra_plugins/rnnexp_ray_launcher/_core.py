"""The pool of a sweep on Ray."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra_plugins.rnnexp_local_launcher._pool import Limits, MakePool, Pool
from hydra_plugins.rnnexp_local_launcher._processes import Task
from hydra_plugins.rnnexp_local_launcher.local_launcher import LocalLauncher
from hydra_plugins.rnnexp_ray_launcher._cluster import Cluster

POLL_SECONDS = 0.1


@contextmanager
def pools(launcher: LocalLauncher) -> Generator[MakePool]:
    """Hold a cluster: the one of the address, or one of this machine, which begins when asked."""
    options = launcher.options
    cluster = Cluster(options)

    def make(tasks: Sequence[Task], watcher: Any, own: Limits) -> Pool:
        cluster.connect()
        timeout = own.timeout if own.timeout is not None else options["timeout"]
        limits = Limits(timeout=timeout, fail_fast=own.fail_fast or options["fail_fast"])
        slots: list[dict[str, str]] = [{}] * cluster.room(tasks)
        start = cluster.starting()
        return Pool(slots, start, watcher, limits, POLL_SECONDS, preemptible=True)

    if options["address"] is not None:  # an address that leads nowhere is said before all else
        cluster.connect()
    try:
        yield make
    finally:
        cluster.leave()
