"""Where jobs would run, from the options of each launcher and the devices of the jobs."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from hydra_plugins.rnnexp_local_launcher._core import cores, gpus_of, slots_of
from hydra_plugins.rnnexp_local_launcher._processes import LauncherError
from hydra_plugins.rnnexp_local_launcher.config import LocalLauncherConf
from hydra_plugins.rnnexp_ray_launcher.config import RayLauncherConf
from hydra_plugins.rnnexp_submitit_launcher.config import SubmititLocalConf, SubmititSlurmConf
from rnnexp.app.config.launchers import LauncherChoice
from rnnexp.app.sweep.places import Places, places_of
from rnnexp.errors import ConfigError


@dataclass(frozen=True)
class Job:
    devices: int = 1
    wants_gpu: bool = False
    needs_gpu: bool = False
    name: str = "job"
    log: Path = Path("log.txt")
    command: None = None
    portable: None = None

    def run(self) -> int:
        raise NotImplementedError


ON_GPU = Job(wants_gpu=True, needs_gpu=True)
ON_TWO_GPUS = Job(2, wants_gpu=True, needs_gpu=True)
IF_THERE_ARE_ANY = Job(2, wants_gpu=True)


def places(name: str, conf: object, *jobs: Job) -> Places:
    return places_of(LauncherChoice(name, dict(vars(conf))), 10, jobs or (Job(),))


def test_on_this_machine() -> None:
    found = places("local", LocalLauncherConf(jobs=3, threads=2))
    assert found.at_once == 3
    assert "3 at once with 2 threads each" in found.words
    found = places("local", LocalLauncherConf(gpus=["0", "3"], jobs_per_gpu=2), ON_GPU)
    assert found == Places("on this machine's GPUs 0, 3, 4 at once with 1 thread each", 4)
    with pytest.raises(ConfigError, match="takes 2 GPUs at once, and there are 1"):
        places("local", LocalLauncherConf(gpus=["0"]), ON_TWO_GPUS)


def test_on_ray() -> None:
    found = places("ray", RayLauncherConf(num_cpus=8, num_gpus=2, cpus=2, gpus=0.5))
    assert found.at_once == 4
    assert "2 CPUs and 0.5 GPUs each" in found.words
    found = places("ray", RayLauncherConf(address="head:6379"))
    assert found == Places("on the Ray cluster at head:6379, 1 CPU and 0 GPUs each", None)
    found = places("ray", RayLauncherConf(address="head:6379"), IF_THERE_ARE_ANY)
    assert "2 CPUs and 2 GPUs each where it has GPUs" in found.words


def test_on_ray_a_job_takes_as_many_as_its_devices() -> None:
    own = RayLauncherConf(num_cpus=8, num_gpus=4, threads=2)
    assert places("ray", own, ON_TWO_GPUS).at_once == 2
    assert "4 CPUs and 2 GPUs each" in places("ray", own, IF_THERE_ARE_ANY).words
    assert "4 CPUs and 0 GPUs each" in places("ray", own, Job(2)).words
    both = places("ray", own, ON_GPU, ON_TWO_GPUS)
    assert both.at_once == 4, "as many as there are of the smaller"
    assert "2 CPUs and 1 GPU, or 4 CPUs and 2 GPUs each" in both.words
    without = RayLauncherConf(num_cpus=8, num_gpus=0)
    assert "2 CPUs and 0 GPUs each" in places("ray", without, IF_THERE_ARE_ANY).words
    with pytest.raises(ConfigError, match="2 CPUs and 2 GPUs, and no machine of the cluster has"):
        places("ray", without, ON_TWO_GPUS)


def test_under_slurm() -> None:
    found = places("submitit_slurm", SubmititSlurmConf(partition="a100", array_parallelism=4))
    assert found.at_once == 4
    assert "partition a100, up to 4 at once" in found.words
    found = places("submitit_slurm", SubmititSlurmConf(threads=3), ON_TWO_GPUS)
    assert "6 CPUs and 2 GPUs each" in found.words
    assert "1 CPU and 0 GPUs each" in places("submitit_local", SubmititLocalConf()).words


@pytest.mark.parametrize(
    ("options", "job", "reason"),
    [
        ({"gpus": 1}, ON_TWO_GPUS, "gpus=1: a job of 2 devices takes a GPU for each"),
        ({"gpus": 1}, IF_THERE_ARE_ANY, "gpus=1: a job of 2 devices takes a GPU for each"),
        ({"gpus": 0}, ON_GPU, "gpus=0: a job of 1 device takes a GPU for each"),
        ({"gpus": -1}, Job(), "gpus=-1: a job takes whole GPUs"),
        ({"cpus": 1}, Job(2), "cpus=1: a job of 2 devices is 2 processes"),
    ],
)
def test_less_than_a_job_takes_is_refused(options: dict[str, int], job: Job, reason: str) -> None:
    for name, conf in (("ray", RayLauncherConf), ("submitit_slurm", SubmititSlurmConf)):
        given = {"num_gpus": 8} if name == "ray" else {}
        with pytest.raises(ConfigError, match=reason):
            places(name, conf(**options, **given), job)


def test_what_is_named_wins() -> None:
    found = places("submitit_slurm", SubmititSlurmConf(gpus=4, cpus=16), ON_TWO_GPUS)
    assert "16 CPUs and 4 GPUs each" in found.words
    with pytest.raises(ConfigError, match=r"gpus=1\.5: a job takes whole GPUs"):
        places("ray", RayLauncherConf(gpus=1.5), Job())


@pytest.mark.parametrize(
    ("visible", "ids"),
    [("0,1", "01"), ("0, 1", "01"), ("-1", ""), ("", ""), ("2,-1,3", "2"), ("0,,1", "0")],
)
def test_gpus_that_are_seen_are_those_that_cuda_sees(
    monkeypatch: pytest.MonkeyPatch, visible: str, ids: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus_of({"gpus": None}, wanted=True) == list(ids)


def test_in_this_process() -> None:
    assert places_of(LauncherChoice("basic", {}), 10, [Job()]).at_once == 1


def test_a_system_that_tells_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores() == 6


def test_places_for_jobs_of_several_devices() -> None:
    options = {"threads": 1, "jobs": None, "jobs_per_gpu": 1}
    slots = slots_of(options, list("01234"), 2)
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["0,1", "2,3"]
    with pytest.raises(LauncherError, match="takes 2 GPUs at once, and there are 1"):
        slots_of(options, ["0"], 2)
    cores = len(os.sched_getaffinity(0))
    assert len(slots_of(options, [], 2)) == max(1, cores // 2)
