"""``hydra/launcher=local`` and its options."""

from dataclasses import dataclass

from hydra.core.config_store import ConfigStore


@dataclass(kw_only=True)
class LocalLauncherConf:
    """How many jobs run at once, and on what.

    Args:
        jobs: how many at once; null takes one per GPU, or cores // threads.
        threads: CPU threads of a job; its OMP_NUM_THREADS and the like, and torch's own number in
            a copy of a program that has imported it.
        gpus: ids of the GPUs to hand out; null takes all that are visible. An empty list and
            jobs that ask for none run on the CPU.
        jobs_per_gpu: how many share one GPU.
        stagger: seconds between two starts.
        start: fork | spawn; auto forks where that is safe: no GPU, no second thread, Linux.
            Jobs of a program without tasks of its own (`sweep_tasks`) are always forked.
        timeout: seconds after which a job is ended; null never.
        fail_fast: end the others at the first failure.
    """

    _target_: str = "hydra_plugins.rnnexp_local_launcher.local_launcher.LocalLauncher"
    jobs: int | None = None
    threads: int = 1
    gpus: list[str] | None = None
    jobs_per_gpu: int = 1
    stagger: float = 0.0
    start: str = "auto"
    timeout: float | None = None
    fail_fast: bool = False


ConfigStore.instance().store(
    group="hydra/launcher", name="local", node=LocalLauncherConf, provider="rnnexp"
)
