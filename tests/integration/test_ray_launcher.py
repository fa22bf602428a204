"""Sweeps on Ray, for real: a cluster of two CPU workers and two GPUs that exist by name only."""

import json
import re
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from hydra_plugins.rnnexp_local_launcher._processes import LOST, LauncherError
from hydra_plugins.rnnexp_ray_launcher._cluster import Cluster, RayTask
from rnnexp.__main__ import run as rnnexp_here
from rnnexp.tracking.journal import read_all

CELL = '''
import os, signal, time
from pathlib import Path
import torch
from rnnexp.cells import PointwiseCell, register_cell

@register_cell("lost")
class Lost(PointwiseCell):
    """Loses its worker once, when there is a checkpoint."""

    num_gates = 1

    def __init__(self, input_size, *, fault: str = "none", **options):
        super().__init__(input_size, **options)
        self.fault, self.begun = fault, time.monotonic()
        print("device", os.environ.get("CUDA_VISIBLE_DEVICES"), "threads", torch.get_num_threads())

    def project_input(self, x_BI):
        if self.fault == "raise" and torch.is_grad_enabled():  # in training, not when tried
            raise RuntimeError("the cell broke")
        mark = Path("lost-once")
        if self.fault == "lost" and not mark.exists():
            time.sleep(0.02)  # it lasts longer than the two seconds, on any machine
            if time.monotonic() - self.begun > 2.0:
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().project_input(x_BI)

    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh((wx_BGH + rh_BGH).squeeze(-2)),)
'''
WORDS = ["plugin_dirs=[mine]", "cell=lost", "unroll.backend=loop", "task.length=10"]
WORDS += ["cell.hidden_size=8", "trainer.max_steps=200", "trainer.val_every=10", "sweep.name=mine"]
WORDS += ["task.val_batches=2", "task.test_batches=2", "tracking.wait=30"]
RAY = ["hydra/launcher=ray", "hydra.launcher.num_cpus=2", "hydra.launcher.num_gpus=2"]
FAULTS = "cell.fault=lost,raise"


@pytest.fixture
def cell(workdir: Path) -> None:
    (workdir / "mine").mkdir()
    (workdir / "mine" / "lost.py").write_text(CELL)


def by_fault(workdir: Path, name: str) -> dict[str, tuple[Path, dict[str, Any]]]:
    files = (workdir / "outputs" / "sweeps" / name).glob("*/summary.json")
    found = [(file.parent, json.loads(file.read_text())) for file in files]
    return {summary["config"]["cell.fault"]: (folder, summary) for folder, summary in found}


def test_jobs_on_ray(rnnexp, workdir: Path, store_uri: str, cell: None) -> None:
    done = rnnexp("train", "-m", FAULTS, *RAY, "hydra.launcher.gpus=1", *WORDS, timeout=120)
    assert done.code == 1
    said = done.err.replace(str(workdir), "").lower()
    assert "ray" not in said.replace("trace", ""), "Ray's own words"
    ended = by_fault(workdir, "mine")
    status = {fault: summary["status"] for fault, (_, summary) in ended.items()}
    assert status == {"lost": "FINISHED", "raise": "FAILED"}
    assert "RuntimeError: the cell broke" in done.err
    logs = {fault: (folder / "log.txt").read_text() for fault, (folder, _) in ended.items()}
    seen = {fault: set(re.findall(r"device (\S+) threads 1\n", log)) for fault, log in logs.items()}
    assert all(len(devices) == 1 for fault, devices in seen.items() if fault != "lost")
    assert set().union(*seen.values()) == {"0", "1"}, "two at once, each with a device of its own"
    _went_on_from_its_checkpoint(ended["lost"][0], logs["lost"])
    client = MlflowClient(store_uri)
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert len(runs) == 3, "one per job, one for the sweep"
    _says_the_same_as_a_copy_of_the_driver(rnnexp, workdir)


def _went_on_from_its_checkpoint(folder: Path, log: str) -> None:
    records = list(read_all(folder / "journal.jsonl"))
    assert sum(r["kind"] == "start" for r in records) == 2, "its worker was lost once"
    assert log.count("step 1/200") == 1, "it did not begin anew"
    losses = [r for r in records if "train/loss" in r.get("values", {})]
    assert [record["step"] for record in losses] == list(range(1, 201)), "each step once"


def _says_the_same_as_a_copy_of_the_driver(rnnexp, workdir: Path) -> None:
    words = ["cell.fault=lost", *WORDS, "sweep.name=control"]
    done = rnnexp("train", "-m", *words, timeout=120)
    assert done.code == 0, done.err
    mine, control = by_fault(workdir, "mine"), by_fault(workdir, "control")
    assert mine["lost"][0].name == control["lost"][0].name, "the same key"
    losses = {found["lost"][1]["metrics"]["test/loss"] for found in (mine, control)}
    assert len(losses) == 1


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ("WorkerCrashedError", LOST),
        ("LocalRayletDiedError", LOST),
        ("OutOfMemoryError", -signal.SIGKILL),
        ("TaskCancelledError", 128 + signal.SIGTERM),
    ],
)
def test_only_where_ray_says_so_has_memory_run_out(
    monkeypatch: pytest.MonkeyPatch, ends: str, code: int
) -> None:
    import ray.exceptions

    def lost(result: object) -> None:
        raise getattr(ray.exceptions, ends).__new__(getattr(ray.exceptions, ends))

    monkeypatch.setattr("ray.wait", lambda results, timeout: (results, []))
    monkeypatch.setattr("ray.get", lost)
    assert RayTask("its code").poll() == code


@pytest.mark.parametrize("mode", [None, "token"])
def test_a_cluster_that_may_want_a_token_is_said_to(
    monkeypatch: pytest.MonkeyPatch, mode: str | None
) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise ConnectionError("Failed to connect")

    monkeypatch.setattr("ray.init", refused)
    monkeypatch.setenv("RAY_AUTH_MODE", mode or "disabled")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(LauncherError, match="Failed to connect") as error:
            Cluster({"address": address, "connect_seconds": 5.0}).connect()
    assert ("RAY_AUTH_MODE=token" in str(error.value)) == (mode is None)


TWO = ["trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=auto"]


@pytest.mark.slow
def test_a_job_of_two_devices_gets_two(rnnexp, workdir: Path, store_uri: str, cell: None) -> None:
    # The GPUs exist by name only: auto then trains on the CPU, two processes by gloo.
    done = rnnexp("train", "-m", *RAY, *WORDS, *TWO, "trainer.max_steps=4", timeout=120)
    assert done.code == 0, done.err
    folder, summary = by_fault(workdir, "mine")["none"]
    assert summary["status"] == "FINISHED"
    for name in ("log.txt", "rank1.log"):
        seen = set(re.findall(r"device (\S+) threads (\d+)\n", (folder / name).read_text()))
        assert seen == {("0,1", "1")}, f"{name}: each process sees both"
    losses = [r for r in read_all(folder / "journal.jsonl") if "train/loss" in r.get("values", {})]
    assert [record["step"] for record in losses] == [1, 2, 3, 4]


def test_less_than_its_devices_is_said_before_the_first_job(
    workdir: Path, store_uri: str, registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rnnexp_here(["train", "-m", *RAY, *TWO, "seed=0,1", "hydra.launcher.gpus=0.5"]) == 2
    said = capsys.readouterr().err
    assert "hydra.launcher.gpus=0.5: a job of 2 devices takes a GPU for each" in said
    assert list(workdir.rglob("journal.jsonl")) == [], "nothing was begun"


def test_what_ray_cannot_give_is_said_before_the_first_job(
    rnnexp, workdir: Path, store_uri: str, cell: None
) -> None:
    away = rnnexp("train", "-m", FAULTS, *RAY, "hydra.launcher.address=127.0.0.1:9", *WORDS)
    assert away.code == 2
    assert "hydra.launcher.address=127.0.0.1:9: nothing answers there" in away.err
    assert "Traceback" not in away.err
    assert list(workdir.rglob("journal.jsonl")) == [], "nothing was begun"
