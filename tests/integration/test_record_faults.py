"""What the record survives: kills, a server that goes away, a disk that is full."""

import json
import os
import random
import re
import signal
import sqlite3
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from mlflow.tracking import MlflowClient

from rnnexp.tracking import RunHeader, Tracking, sync
from rnnexp.tracking.records import ERROR_TAG

from ..waiting import comes_true

HEADER = RunHeader("a-run", "study", {"lr": "0.1"}, {})
KILLS = 25

OWNER = """
import sys, time
from pathlib import Path
from rnnexp.tracking import Journals, RunHeader, Tracking

uri, folder, sends = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "sends"
keeper = (Tracking if sends else Journals)(uri, None)
log = keeper.open_run(folder, RunHeader(folder.name, "study", {}, {}))
print("begun", flush=True)
step = 0
while True:
    step += 1
    log.metrics({"loss": 1.0 / step, "grad/raw_norm": float(step)}, step)
    print(step, time.time(), flush=True)
    time.sleep(0.002)
"""


def runs_of(uri: str) -> list:
    client = MlflowClient(uri)
    (experiment,) = (e for e in client.search_experiments() if e.name == "study")
    return client.search_runs([experiment.experiment_id], max_results=1000)


def steps_of(uri: str, run, key: str = "loss") -> list[int]:
    return [m.step for m in MlflowClient(uri).get_metric_history(run.info.run_id, key)]


def killed_at_random(start_copy, uri: str, folder: Path, kill: int) -> int:
    """Kill an owner, and now and then its sink too; return the step that must have survived."""
    draw = random.Random(kill)
    ways = ["sends"] if kill % 5 == 0 else ["keeps"]
    owner = start_copy("-c", OWNER, uri, str(folder), *ways, cwd=folder.parent)
    assert owner.stdout.readline() == "begun\n"
    time.sleep(draw.uniform(0.05, 2.0))
    now = time.time()
    os.killpg(owner.pid, signal.SIGKILL)
    told = [line.split() for line in owner.stdout.read().splitlines()]
    old = [int(pair[0]) for pair in told if len(pair) == 2 and float(pair[1]) < now - 1.0]
    return max(old, default=0)


def test_random_kills_lose_a_second_at_most(start_copy, tmp_path: Path, store_uri: str) -> None:
    def kill_one(kill: int) -> tuple[str, int]:
        name = f"run{kill}"
        return name, killed_at_random(start_copy, store_uri, tmp_path / name, kill)

    with ThreadPoolExecutor(5) as pool:
        survives = dict(pool.map(kill_one, range(KILLS)))
    assert sum(step > 0 for step in survives.values()) > KILLS // 4, "killed too early to tell"
    folders = [tmp_path / name for name in survives]
    # A sink of a killed owner delivers by itself; the rest, and all that is left, is synced.
    assert comes_true(lambda: {sync(f) for f in folders} == {"complete already"})
    runs = {run.info.run_name: run for run in runs_of(store_uri)}
    assert len(runs_of(store_uri)) == KILLS
    for name, step in survives.items():
        assert runs[name].info.status == "FAILED"
        assert runs[name].data.tags[ERROR_TAG] == "the process was killed"
        for key in ("loss", "grad/raw_norm"):
            stored = steps_of(store_uri, runs[name], key)
            assert stored == list(range(1, len(stored) + 1))  # nothing twice, no gap
            assert len(stored) >= step


@pytest.mark.parametrize("seconds", [4, pytest.param(30, marks=pytest.mark.slow)])
def test_server_that_goes_away_in_the_middle(
    start_server,
    free_port: int,
    tmp_path: Path,
    store_uri: str,
    seconds: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    server = start_server(free_port)
    tracking = Tracking(f"http://127.0.0.1:{free_port}", None)
    log = tracking.open_run(tmp_path / "run", HEADER)
    step, slowest, back, killed = 0, 0.0, 0.0, False
    while not back or time.monotonic() < back:
        step += 1
        begun = time.perf_counter()
        log.metrics({"loss": 1.0}, step)
        slowest = max(slowest, time.perf_counter() - begun)
        time.sleep(0.005)
        if not killed and log.run_id(timeout=0) and len(steps_of(store_uri, runs_of(store_uri)[0])):
            os.killpg(server.pid, signal.SIGKILL)
            killed, back = True, time.monotonic() + seconds
    stored_meanwhile = len(steps_of(store_uri, runs_of(store_uri)[0]))
    assert stored_meanwhile < step
    assert slowest < 1.0  # training does not wait
    start_server(free_port)
    log.end("FINISHED")
    assert tracking.close(timeout=60) == []
    (run,) = runs_of(store_uri)
    assert run.info.status == "FINISHED"
    assert steps_of(store_uri, run) == list(range(1, step + 1))


FULL = """
import os, resource, sys, time
from pathlib import Path
from rnnexp.tracking import RunHeader, Tracking

uri, folder, store = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
limit = store.stat().st_size + 60_000
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # for the sink, too
tracking = Tracking(uri, None)
log = tracking.open_run(folder, RunHeader("full", "study", {}, {}))
for step in range(1, 4001):
    log.metrics({"loss": 1.0, "norm": 2.0, "lr": 0.1}, step)
log.end("FINISHED")
until = time.monotonic() + 60
while tracking.problem is None and time.monotonic() < until:
    time.sleep(0.1)
print(log.error, [f.name for f in tracking.close(timeout=1)])
print(tracking.problem)
os.kill(tracking._sink.process.pid, 9)
"""


def test_full_disk_under_the_store_loses_nothing(copied, tmp_path: Path, store_uri: str) -> None:
    store = tmp_path / "mlflow.db"
    done = copied("-c", FULL, store_uri, str(tmp_path / "run"), str(store), cwd=tmp_path)
    assert done.code == 0, done.err
    # The journal has it all; the store said that it has not,
    assert done.out.startswith("None ['run']\n")
    assert re.search("OperationalError: .*disk", done.out)  # and why
    assert "OperationalError" in (tmp_path / "run" / "sink.log").read_text()
    assert intact(store)
    assert comes_true(lambda: sync(tmp_path / "run") in ("delivered", "complete already"))
    (run,) = runs_of(store_uri)
    assert run.info.status == "FINISHED"
    for key in ("loss", "norm", "lr"):
        assert steps_of(store_uri, run, key) == list(range(1, 4001))
    assert intact(store)


def intact(store: Path) -> bool:
    connection = sqlite3.connect(store)
    try:
        return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        connection.close()


LIMITED = """
import resource, sys
from rnnexp.__main__ import run

limit = 150_000
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(run(["train", *sys.argv[1:]]))
"""
LONG = ["cell=elman", "cell.hidden_size=4", "task.length=5", "trainer.max_steps=1500"]
LONG += ["trainer.val_every=3000", "task.val_batches=1", "task.test_batches=1"]
LONG += ["tracking.wait=0", "trainer.progress=none", "monitor.pictures=never"]


@pytest.mark.parametrize("policy", ["go_on", "stop"])
def test_full_disk_under_the_record_is_said(
    copied, tmp_path: Path, store_uri: str, policy: str
) -> None:
    options = [*LONG, f"tracking.disk_full={policy}", "trainer.val_every=100"]
    done = copied("-c", LIMITED, *options, cwd=tmp_path)
    assert done.code == 1, done.out
    assert "the record cannot be written (File too large)" in done.err
    assert "Traceback" not in done.err
    (summary,) = (json.loads(f.read_text()) for f in tmp_path.rglob("summary.json"))
    assert summary["status"] == "FAILED"
    (last,) = tmp_path.rglob("checkpoints/last.ckpt")
    steps = torch.load(last, weights_only=True)["global_step"]
    if policy == "go_on":
        assert steps == 1500
        assert "Training goes on" in done.err
        assert "What was logged last is missing." in summary["error"]
    else:
        assert steps < 1500
        assert "Free some space, and go on with resume=" in summary["error"]


SPIKY = """
import torch
from rnnexp.cells import PointwiseCell, register_cell

@register_cell("spiky")
class Spiky(PointwiseCell):
    \"\"\"Its gradient is ten thousand times larger at one step.\"\"\"

    num_gates = 1
    calls = 0

    def project_input(self, x_BI):
        self.calls += self.training
        wx_BGH = super().project_input(x_BI)
        spike = wx_BGH.detach() + 1e4 * (wx_BGH - wx_BGH.detach())
        return spike if self.training and self.calls == 601 else wx_BGH

    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh((wx_BGH + rh_BGH).squeeze(-2)),)
"""


def test_charts_show_a_cliff_of_one_step(
    rnnexp, start_server, free_port: int, workdir: Path, store_uri: str
) -> None:
    (workdir / "mine").mkdir()
    (workdir / "mine" / "spiky.py").write_text(SPIKY)
    options = ["plugin_dirs=[mine]", "unroll.backend=loop", "trainer.progress=none", *LONG]
    options += ["cell=spiky", "tracking.wait=60", "trainer.max_steps=800"]
    done = rnnexp("train", *options, timeout=120)
    assert done.code == 0, done.err
    client = MlflowClient(store_uri)
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    spike = run.data.metrics["cliffs/largest"]
    assert run.data.metrics["cliffs/largest_step"] == 601
    start_server(free_port)
    shown = {
        key: points_on_the_chart(free_port, run.info.run_id, key)
        for key in ("grad/raw_norm", "grad/raw_norm_max", "grad/cliff")
    }
    assert len(shown["grad/raw_norm"]) < 400  # of 800: a chart that drops points
    assert max(shown["grad/raw_norm_max"].values()) == pytest.approx(spike)
    assert shown["grad/cliff"][601] == pytest.approx(spike)
    quiet = sorted(shown["grad/raw_norm_max"].values())[:-1]
    assert spike > 100 * max(quiet)


def points_on_the_chart(port: int, run_id: str, key: str) -> dict[int, float]:
    """Ask what MLflow's own charts ask, with their number of points."""
    query = urllib.parse.urlencode({"run_ids": run_id, "metric_key": key, "max_results": 320})
    path = "ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}?{query}", timeout=20) as reply:
        found = json.loads(reply.read())
    return {int(point["step"]): float(point["value"]) for point in found.get("metrics", [])}
