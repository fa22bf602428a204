"""Where jobs would run, from the options of each launcher."""

from hydra_plugins.rnnexp_local_launcher.config import LocalLauncherConf
from hydra_plugins.rnnexp_ray_launcher.config import RayLauncherConf
from hydra_plugins.rnnexp_submitit_launcher.config import SubmititSlurmConf
from rnnexp.app.config.compose import LauncherChoice
from rnnexp.app.sweep.places import Places, places_of


def places(name: str, conf: object, wants_gpu: bool = False) -> Places:
    return places_of(LauncherChoice(name, dict(vars(conf))), 10, wants_gpu)


def test_on_this_machine() -> None:
    found = places("local", LocalLauncherConf(jobs=3, threads=2))
    assert found.at_once == 3
    assert "3 at once with 2 threads each" in found.words
    found = places("local", LocalLauncherConf(gpus=["0", "3"], jobs_per_gpu=2), wants_gpu=True)
    assert found == Places("on this machine's GPUs 0, 3, 4 at once with 1 thread each", 4)


def test_on_ray() -> None:
    found = places("ray", RayLauncherConf(num_cpus=8, num_gpus=2, cpus=2, gpus=0.5))
    assert found.at_once == 4
    assert "2 CPUs and 0.5 GPUs each" in found.words
    found = places("ray", RayLauncherConf(address="head:6379"))
    assert found == Places("on the Ray cluster at head:6379, 1 CPUs and 0 GPUs each", None)


def test_under_slurm() -> None:
    found = places("submitit_slurm", SubmititSlurmConf(partition="a100", array_parallelism=4))
    assert found.at_once == 4
    assert "partition a100, up to 4 at once" in found.words


def test_in_this_process() -> None:
    assert places_of(LauncherChoice("basic", {}), 10, False).at_once == 1
