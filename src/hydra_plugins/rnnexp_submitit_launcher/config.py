"""``hydra/launcher=submitit_slurm`` and ``submitit_local``, and their options."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

_MODULE = "hydra_plugins.rnnexp_submitit_launcher.submitit_launcher"


@dataclass(kw_only=True)
class SubmititLocalConf:
    """Jobs of submitit in processes of this machine: to try what a cluster would do.

    Args:
        timeout_min: minutes after which a job is stopped and queued again.
        signal_delay_s: seconds before that, in which it saves its state.
        max_num_timeout: how often a job may be queued again for its time.
        cpus: cores of a job; null takes as many as it has devices, times threads.
        gpus: GPUs of a job; null takes as many as it has devices, if it asks for GPUs by name;
            accelerator=auto does not.
        threads: CPU threads of a process, one for each device of a job; its OMP_NUM_THREADS and
            the like. null shares the cores named by cpus; 1 where none are.
        setup: lines for the shell that run before a job.
        jobs: how many are handed over at once; null all of them on a cluster, one here.
        poll_seconds: between two looks at the jobs.
        fail_fast: end the others at the first failure.
    """

    _target_: str = f"{_MODULE}.SubmititLocalLauncher"
    timeout_min: float = 60
    signal_delay_s: int = 30
    max_num_timeout: int = 3
    cpus: int | None = None
    gpus: int | None = None
    threads: int | None = None
    setup: list[str] = field(default_factory=list[str])
    jobs: int | None = None
    poll_seconds: float = 0.2
    fail_fast: bool = False


@dataclass(kw_only=True)
class SubmititSlurmConf(SubmititLocalConf):
    """Jobs of one Slurm array.

    Args:
        timeout_min: Slurm's limit for a job; one that reaches it saves its state and is queued
            again.
        signal_delay_s: seconds before that limit at which it is told.
        max_num_timeout: how often that may happen to a job; a preemption does not count.
        partition: where to queue; null leaves it to Slurm.
        account: who pays.
        qos: quality of service.
        mem_gb: memory of a job.
        array_parallelism: how many of the jobs may run at once. Jobs that differ in what they take,
            or are more than Slurm has in one array, are several arrays: each has its share.
        additional_parameters: further options of sbatch by their names, such as
            `{constraint: a100, requeue: true}`.
    """

    _target_: str = f"{_MODULE}.SubmititSlurmLauncher"
    signal_delay_s: int = 120
    max_num_timeout: int = 100
    poll_seconds: float = 2.0
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    mem_gb: float | None = None
    array_parallelism: int = 256
    additional_parameters: dict[str, Any] = field(default_factory=lambda: {"requeue": True})


def _slurm_node() -> DictConfig:
    # Only sbatch knows which options it has: any may be given, without a plus.
    node = OmegaConf.structured(SubmititSlurmConf)
    OmegaConf.set_struct(node["additional_parameters"], False)
    return node


_stored: dict[str, Any] = {"group": "hydra/launcher", "provider": "rnnexp"}
ConfigStore.instance().store(name="submitit_local", node=SubmititLocalConf, **_stored)
ConfigStore.instance().store(name="submitit_slurm", node=_slurm_node(), **_stored)
