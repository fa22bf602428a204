"""``hydra/launcher=ray`` and its options."""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore


@dataclass(kw_only=True)
class RayLauncherConf:
    """On which cluster the jobs run, and what each of them takes of it.

    Args:
        address: HOST:PORT of a cluster's head, ray://HOST:PORT, or auto; null starts a cluster
            of one machine for the time of the sweep. For a cluster with token authentication set
            RAY_AUTH_MODE=token in the environment.
        cpus: cores of a job; null takes as many as it has devices, times threads.
        gpus: GPUs of a job, 0.5 for half of one; null takes as many as a job has devices, for
            jobs that ask for GPUs; one that only would like some trains on CPUs where the cluster
            has none.
        threads: CPU threads of a process, one for each device of a job; its OMP_NUM_THREADS and
            the like.
        jobs: how many are handed to Ray at once; null as many as the cluster has room for.
        retries: how often a job whose worker or machine is lost is begun again, from its
            checkpoint.
        timeout: seconds after which a job is ended, counted from when Ray got it; null never.
        fail_fast: end the others at the first failure.
        num_cpus: cores of the cluster that is started; null all of this machine.
        num_gpus: its GPUs; null all of this machine.
        object_store_mb: its shared memory; jobs hand nothing around but their exit codes.
        connect_seconds: how long an address may take to answer.
    """

    _target_: str = "hydra_plugins.rnnexp_ray_launcher.ray_launcher.RayLauncher"
    address: str | None = None
    cpus: float | None = None
    gpus: float | None = None
    threads: int = 1
    jobs: int | None = None
    retries: int = 3
    timeout: float | None = None
    fail_fast: bool = False
    num_cpus: int | None = None
    num_gpus: int | None = None
    object_store_mb: int = 80
    connect_seconds: float = 10.0


stored: dict[str, Any] = {"group": "hydra/launcher", "provider": "rnnexp"}
ConfigStore.instance().store(name="ray", node=RayLauncherConf, **stored)
