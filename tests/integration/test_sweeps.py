"""Sweeps in real processes: skipped, resumed, killed, timed out; and what their records say."""

import json
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from rnnexp.__main__ import run as rnnexp_here

from ..recorded import points, runs_in
from ..waiting import processes_in

SMALL = ["task.length=10", "cell.hidden_size=8", "trainer.max_steps=6", "trainer.val_every=3"]
SMALL += ["task.val_batches=2", "task.test_batches=2", "sweep.name=mine"]
LONG = [*SMALL, "trainer.max_steps=400", "trainer.val_every=25", "model.dropout=0.2"]
LONG += ["model.layers=2", "tracking.wait=30"]

TROUBLE = '''
import os, signal, time
import torch
from rnnexp.cells import PointwiseCell, register_cell

@register_cell("trouble")
class Trouble(PointwiseCell):
    """Ends its process in many ways."""

    num_gates = 1

    def __init__(self, input_size, *, fault: str = "none", **options):
        super().__init__(input_size, **options)
        self.fault, self.calls = fault, 0

    def project_input(self, x_BI):
        self.calls += self.training
        if self.calls == 3:
            print("about to", self.fault, flush=True)
            if self.fault == "raise":
                raise RuntimeError("the cell broke")
            if self.fault == "exit":
                raise SystemExit(0)
            if self.fault == "os_exit":
                os._exit(0)
            if self.fault in ("SIGKILL", "SIGTERM"):
                os.kill(os.getpid(), getattr(signal, self.fault))
            if self.fault == "hang":
                time.sleep(1000)
        return super().project_input(x_BI)

    def update(self, wx_BGH, rh_BGH, state):
        new_BH = torch.tanh((wx_BGH + rh_BGH).squeeze(-2))
        return (new_BH * float("nan") if self.fault == "nan" and self.calls >= 3 else new_BH,)
'''


@pytest.fixture
def trouble(workdir: Path) -> list[str]:
    (workdir / "mine").mkdir()
    (workdir / "mine" / "trouble.py").write_text(TROUBLE)
    return ["plugin_dirs=[mine]", "cell=trouble", "unroll.backend=loop", *SMALL]


def jobs(workdir: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for file in (workdir / "outputs" / "sweeps").rglob("summary.json"):
        found[file.parent.name] = json.loads(file.read_text())
    return found


def complete(workdir: Path) -> set[str]:
    return {file.parent.name for file in (workdir / "outputs" / "sweeps").rglob("COMPLETE")}


def test_nothing_is_run_twice_and_more_values_add_jobs(
    rnnexp, workdir: Path, store_uri: str
) -> None:
    words = [word for word in SMALL if not word.startswith("sweep.name")]
    first = rnnexp("train", "-m", "seed=0,1", *words)
    assert first.code == 0, first.err
    before = {key: run["run_id"] for key, run in jobs(workdir).items()}
    _as_if_a_queue_had_gone_on_without_the_command(workdir, store_uri)
    again = rnnexp("train", "-m", "seed=0,1,2", "tracking.wait=50", *words)
    assert again.code == 0, again.err
    assert "2 of 3 jobs done" in again.err
    assert again.err.count("FINISHED in") == 1
    assert len(complete(workdir)) == 3
    assert before.items() <= {key: r["run_id"] for key, r in jobs(workdir).items()}.items()
    parent, *children = runs_in(store_uri)
    assert len(children) == 3, "one run per key, one parent"
    assert {r.data.tags["mlflow.parentRunId"] for r in children} == {parent.info.run_id}
    assert {r.info.status for r in (parent, *children)} == {"FINISHED"}
    assert parent.data.tags["rnnexp.sweep.finished"] == "3 of 3"
    assert parent.data.tags["rnnexp.sweep.done"] == "3"
    assert "val/loss_best" in parent.data.tags["rnnexp.sweep.best"]
    artifacts = {f.path for f in MlflowClient(store_uri).list_artifacts(parent.info.run_id)}
    assert artifacts >= {"sweep.json", "sweep_summary.json"}


def _as_if_a_queue_had_gone_on_without_the_command(workdir: Path, store_uri: str) -> None:
    (one, _) = (run for run in runs_in(store_uri) if "mlflow.parentRunId" in run.data.tags)
    MlflowClient(store_uri).delete_run(one.info.run_id)
    (cursor,) = workdir.rglob(f"{one.data.tags['rnnexp.job_key']}/cursor.json")
    cursor.unlink()


def test_every_kind_of_failure_is_told_and_stops_no_other(
    rnnexp, workdir: Path, store_uri: str, trouble: list[str]
) -> None:
    faults = "raise,exit,os_exit,SIGKILL,SIGTERM,nan,hang,none"
    done = rnnexp("train", "-m", f"cell.fault={faults}", "sweep.timeout=8", *trouble, timeout=120)
    assert done.code == 1
    ended = {run["config"]["cell.fault"]: run for run in jobs(workdir).values()}
    status = {fault: run["status"] for fault, run in ended.items()}
    assert status == dict.fromkeys(ended, "FAILED") | {"none": "FINISHED"}
    reasons = {
        "raise": "RuntimeError: the cell broke",
        "exit": "SystemExit",
        "os_exit": "its process ended early, exit code 0",
        "SIGKILL": "killed by SIGKILL",
        "SIGTERM": "stopped by SIGTERM, which its sweep has not sent",
        "nan": "is nan at step",
        "hang": "its timeout",
    }
    runs = {run.data.params.get("cell.fault"): run for run in runs_in(store_uri)}
    for fault, reason in reasons.items():
        assert reason in ended[fault]["error"]
        assert reason in done.err
        assert reason in runs[fault].data.tags["rnnexp.error"]
        assert runs[fault].info.status == status[fault]
    assert "about to os_exit" in done.err, "the tail of the log is shown"
    assert len(complete(workdir)) == 1
    assert runs[None].info.status == "FAILED"
    assert processes_in(workdir) == []


@pytest.mark.slow
def test_a_process_that_dies_before_its_record_begins(
    rnnexp, workdir: Path, store_uri: str
) -> None:
    (workdir / "mine").mkdir()
    dies = "import os, pathlib, sys\nprint('importing')\n"
    dies += "if 'worker' in sys.argv[0] and pathlib.Path('broken').exists():\n    os._exit(3)\n"
    (workdir / "mine" / "dies.py").write_text(dies)
    (workdir / "broken").touch()
    words = ["seed=0", "plugin_dirs=[mine]", "hydra.launcher.start=spawn", "tracking.wait=50"]
    done = rnnexp("train", "-m", *words, *SMALL, timeout=120)
    assert done.code == 1
    assert "its process ended early, exit code 3" in done.err
    assert "not all of it reached" not in done.err
    (run,) = (run for run in runs_in(store_uri) if "mlflow.parentRunId" in run.data.tags)
    assert run.info.status == "FAILED"
    assert "exit code 3\nimporting" in run.data.tags["rnnexp.error"]
    (workdir / "broken").unlink()
    again = rnnexp("sweep", "retry", "mine", timeout=120)
    assert again.code == 0, again.err
    assert {run.info.status for run in runs_in(store_uri)} == {"FINISHED"}
    assert len(runs_in(store_uri)) == 2


@pytest.mark.parametrize("launcher", ["hydra.launcher.jobs=1", "hydra/launcher=basic"])
def test_fail_fast_ends_the_sweep(
    rnnexp, workdir: Path, store_uri: str, trouble: list[str], launcher: str
) -> None:
    words = ["sweep.fail_fast=true", launcher, "tracking.wait=0", *trouble]
    done = rnnexp("train", "-m", "cell.fault=raise,none", *words)
    assert done.code == 1
    assert complete(workdir) == set()


def wait_for_checkpoints(workdir: Path, count: int, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while len(list(workdir.rglob("outputs/sweeps/*/*/checkpoints/last.ckpt"))) < count:
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize(
    "signum", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)]
)
def test_a_stopped_sweep_goes_on_to_the_same_figures(
    rnnexp, start_copy, workdir: Path, store_uri: str, signum: signal.Signals
) -> None:
    words = ["seed=0,1", *LONG, "trainer.max_steps=1000"]
    driver = start_copy("-m", "rnnexp", "train", "-m", *words, cwd=workdir)
    wait_for_checkpoints(workdir, 2)
    time.sleep(random.random() / 4)
    driver.send_signal(signum)
    driver.wait(60)
    if signum != signal.SIGKILL:
        assert driver.returncode == 128 + signum
        assert "the same command again" in (workdir / "stderr.txt").read_text()
        assert processes_in(workdir) == []
    done = rnnexp("train", "-m", *words, timeout=120)
    assert done.code == 0, done.err
    assert len(complete(workdir)) == 2
    control = rnnexp("train", "-m", *words, "seed=0", "sweep.name=control", timeout=120)
    assert control.code == 0, control.err
    by_sweep: dict[str, dict[str, Run]] = {}
    for found in runs_in(store_uri):
        if "mlflow.parentRunId" in found.data.tags:
            tags = found.data.tags
            by_sweep.setdefault(tags["rnnexp.sweep.name"], {})[tags["rnnexp.job_key"]] = found
    mine, undisturbed = by_sweep["mine"], by_sweep["control"]
    assert len(runs_in(store_uri)) == 5, "one run per job, one per sweep"
    assert {found.info.status for found in mine.values()} == {"FINISHED"}
    ((key, control_of_one),) = undisturbed.items()
    assert points(store_uri, mine[key]) == points(store_uri, control_of_one)


def test_a_second_start_is_refused_while_the_first_runs(
    rnnexp, start_copy, workdir: Path, store_uri: str
) -> None:
    words = ["-m", "rnnexp", "train", "-m", "seed=0,1", *LONG, "trainer.max_steps=100000"]
    driver = start_copy(*words, cwd=workdir)
    wait_for_checkpoints(workdir, 1)
    second = rnnexp("train", "-m", "seed=0,1,2", *LONG)
    assert second.code == 2
    assert f"The sweep mine is running already: process {driver.pid}" in second.err
    assert "Traceback" not in second.err
    driver.terminate()
    assert driver.wait(60) == 143


@pytest.mark.slow
def test_all_ways_to_run_a_job_give_the_same(rnnexp, workdir: Path, store_uri: str) -> None:
    ways = {"fork": [], "basic": ["hydra/launcher=basic"], "spawn": ["hydra.launcher.start=spawn"]}
    found: dict[str, set[float]] = {}
    for name, options in ways.items():
        words = ["seed=0,1", "tracking.wait=0", *SMALL, f"sweep.name={name}", *options]
        done = rnnexp("train", "-m", *words, timeout=120)
        assert done.code == 0, done.err
        for file in (workdir / "outputs" / "sweeps" / name).glob("*/summary.json"):
            figures = json.loads(file.read_text())["metrics"]
            found.setdefault(file.parent.name, set()).add(figures["test/loss"])
    assert len(found) == 2
    assert len(complete(workdir)) == 2
    assert all(len(losses) == 1 for losses in found.values())


def test_plan_status_and_retry_and_no_retry_unasked(
    rnnexp, workdir: Path, store_uri: str, trouble: list[str], registry, capsys
) -> None:
    def said(*words: str) -> str:
        assert rnnexp_here(["sweep", *words]) == 0
        return capsys.readouterr().out

    words = ["cell.fault=none,raise", *trouble]
    assert "mine: 2 to run" in said("plan", *words)
    assert not (workdir / "outputs").exists(), "a plan leaves nothing"
    assert rnnexp("train", "-m", "tracking.wait=0", *words).code == 1
    again = rnnexp("train", "-m", "tracking.wait=0", *words)
    assert again.code == 1
    assert "sweep.retry_failed=true" in again.err
    assert "] trouble" not in again.err, "nothing is run"
    counted = Counter(run["status"] for run in jobs(workdir).values())
    assert counted == {"FINISHED": 1, "FAILED": 1}
    planned = said("plan", "cell.fault=none,raise,exit", *trouble)
    assert "mine: 1 to run, 1 done, 1 failed" in planned
    assert "1 job left, about" in planned
    assert "hydra/launcher=local: on this machine's" in planned
    assert "mine: 1 done, 1 failed" in said("status")
    told = said("status", "mine").splitlines()
    assert any("cell.fault=raise" in t and "RuntimeError: the cell broke" in t for t in told)
    assert any(line.startswith("done") and "cell.fault=none" in line for line in told)
    retried = rnnexp("sweep", "retry", "mine")
    assert retried.code == 1
    assert "FAILED: RuntimeError: the cell broke" in retried.err
    source = workdir / "mine" / "trouble.py"
    source.write_text(source.read_text() + "\n# mended\n")
    # In a process that has not loaded the file as it was.
    planned = rnnexp("sweep", "plan", *words).out
    assert "mine: 2 to run" in planned, "another source is another job"
    assert rnnexp_here(["sweep", "status", "mien"]) == 2
    assert "Did you mean 'mine'?" in capsys.readouterr().err
