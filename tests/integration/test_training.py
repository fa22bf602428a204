"""Real runs in real processes, and the records they leave."""

import hashlib
import json
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow.tracking import MlflowClient

from rnnexp.tracking import sweeps_in

from ..recorded import runs_in
from ..waiting import comes_true

SMALL = ["task.length=10", "cell.hidden_size=8", "trainer.max_steps=6", "trainer.val_every=3"]
SMALL += ["task.val_batches=2", "task.test_batches=2", "monitor.pictures=never"]

FAULTY = '''
import torch
from rnnexp.cells import PointwiseCell, register_cell

@register_cell("faulty")
class Faulty(PointwiseCell):
    """Does well for some steps, then does not."""

    num_gates = 1

    def __init__(self, input_size, *, fault: str = "raise", after: int = 4, **options):
        super().__init__(input_size, **options)
        self.fault, self.after, self.calls = fault, after, 0

    def project_input(self, x_BI):
        self.calls += self.training
        if self.calls > self.after and self.fault == "raise":
            raise RuntimeError("the cell broke")
        if self.calls > self.after and self.fault == "exit":
            raise SystemExit(0)
        return super().project_input(x_BI)

    def update(self, wx_BGH, rh_BGH, state):
        new_BH = torch.tanh((wx_BGH + rh_BGH).squeeze(-2))
        if self.calls > self.after and self.fault == "nan":
            new_BH = new_BH * float("nan")
        return (new_BH,)
'''


@pytest.fixture
def faulty(workdir: Path) -> list[str]:
    (workdir / "mine").mkdir()
    (workdir / "mine" / "faulty.py").write_text(FAULTY)
    return ["plugin_dirs=[mine]", "cell=faulty", "unroll.backend=loop", *SMALL]


def summaries(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.rglob("summary.json"), key=lambda file: file.stat().st_mtime)
    return [json.loads(file.read_text()) for file in files]


def digest_of_weights(folder: str) -> str:
    state = torch.load(Path(folder, "checkpoints", "last.ckpt"), weights_only=True)["state_dict"]
    content = b"".join(state[key].numpy().tobytes() for key in sorted(state))
    return hashlib.sha256(content).hexdigest()


def figures(folder: str) -> list[tuple[int, str, float]]:
    lines = Path(folder, "journal.jsonl").read_text().splitlines()
    records = [record for record in map(json.loads, lines) if record["kind"] == "metrics"]
    return [
        (record["step"], key, value)
        for record in records
        for key, value in record["values"].items()
        if not key.startswith("time/")
    ]


def test_a_run_leaves_a_comparable_record(rnnexp, workdir: Path, store_uri: str) -> None:
    words = ["clip=norm", "clip.max_norm=0.5", "seed=3", *SMALL, "monitor.pictures=always"]
    done = rnnexp("train", "cell=gru", *words)
    assert done.code == 0, done.err
    (run,) = runs_in(store_uri)
    assert run.info.run_id in done.out
    assert run.info.status == "FINISHED"
    assert run.data.params["cell.name"] == "gru"
    assert run.data.params["cell.hidden_size"] == "8"
    assert run.data.params["clip.max_norm"] == "0.5"
    assert "cell=gru" in run.data.tags["rnnexp.overrides"]
    for tag in ("rnnexp.config_hash", "rnnexp.backend.layer0", "host", "version.torch"):
        assert run.data.tags[tag]
    client = MlflowClient(store_uri)

    def steps_of(key: str) -> list[int]:
        return [m.step for m in client.get_metric_history(run.info.run_id, key)]

    for key in ("train/loss", "grad/raw_norm", "grad/clipped_norm"):
        assert steps_of(key) == [*range(1, 7)]
    for key, steps in {"val/loss": [3, 6], "train/lr": [1], "grad/clipped_fraction": [6]}.items():
        assert steps_of(key) == steps
    losses = [m.value for m in client.get_metric_history(run.info.run_id, "val/loss")]
    best = [m.value for m in client.get_metric_history(run.info.run_id, "val/loss_best")]
    assert best == [losses[0], min(losses)]
    assert run.data.metrics["test/loss"] > 0
    kept = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert kept >= {"config.yaml", "packages.txt", "checkpoints", "pictures"}
    raw = [m.value for m in client.get_metric_history(run.info.run_id, "grad/raw_norm")]
    clipped = [m.value for m in client.get_metric_history(run.info.run_id, "grad/clipped_norm")]
    assert max(raw) > 0.5, "nothing to clip: the test shows nothing"
    assert clipped == pytest.approx([min(norm, 0.5) for norm in raw], rel=1e-4)


def test_the_seed_repeats_a_run_bit_for_bit(rnnexp, workdir: Path, store_uri: str) -> None:
    for seed in (1, 1, 2):
        options = ["cell=lstm", "model.layers=2", "model.dropout=0.3", f"seed={seed}"]
        assert rnnexp("train", *options, "tracking.wait=0", *SMALL).code == 0
    first, again, other = (run["folder"] for run in summaries(workdir))
    assert digest_of_weights(first) == digest_of_weights(again)
    assert figures(first) == figures(again)
    assert digest_of_weights(first) != digest_of_weights(other)


def test_a_sweep_is_one_parent_with_a_child_per_job(rnnexp, workdir: Path, store_uri: str) -> None:
    done = rnnexp("train", "-m", "cell=elman,gru", "clip=none,value", *SMALL)
    assert done.code == 0, done.err
    parent, *children = runs_in(store_uri)
    assert "mlflow.parentRunId" not in parent.data.tags
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["rnnexp.sweep.finished"] == "4 of 4"
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    pairs = [(run.data.params["cell.name"], run.data.params["clip.by"]) for run in children]
    assert sorted(pairs) == [(c, k) for c in ("elman", "gru") for k in ("none", "value")]
    for run in children:
        assert run.info.run_id[:8] in done.out
    assert len({run.info.run_name for run in children}) == 4
    (sweep,) = sweeps_in(workdir / "mlflow.db", 9)
    assert sweep.run_id == parent.info.run_id
    tags = MlflowClient(store_uri).get_experiment(sweep.experiment).tags
    columns = json.loads(tags[f"mlflow.sharedViewState.{sweep.run_id}"])["selectedColumns"]
    assert {"params.`cell.name`", "params.`clip.by`"} <= set(columns)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise", "RuntimeError: the cell broke"),
        ("exit", "SystemExit"),
        ("nan", "The loss is nan at step 5."),
    ],
)
def test_a_failed_run_is_failed(
    rnnexp, workdir: Path, store_uri: str, faulty: list[str], fault: str, reason: str
) -> None:
    done = rnnexp("train", f"cell.fault={fault}", *faulty)
    assert done.code == 1
    assert reason in done.err
    assert "Traceback" not in done.err
    (run,) = runs_in(store_uri)
    assert run.info.status == "FAILED"
    assert reason in run.data.tags["rnnexp.error"]


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_a_policy_goes_on_past_a_nan(
    rnnexp, workdir: Path, store_uri: str, faulty: list[str], policy: str
) -> None:
    words = ["cell.fault=nan", "cell.after=5", f"monitor={policy}"]
    words += ["monitor.max_rollbacks=9"] * (policy == "rollback")
    done = rnnexp("train", *words, *faulty)
    (summary,) = summaries(workdir)
    # Every later gradient is NaN too: the run ends by its steps, and its weights stay finite.
    assert done.code == 0, done.err
    counted = {"skip": "grad/skipped", "rollback": "grad/rollbacks"}[policy]
    assert summary["metrics"][counted] == 1
    state = torch.load(Path(summary["folder"], "checkpoints", "last.ckpt"), weights_only=True)
    assert all(bool(torch.isfinite(w).all()) for w in state["state_dict"].values())


CODES = [
    (signal.SIGINT, 130),
    pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
    pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("signum", "code"), CODES)
def test_a_signal_saves_everything_and_the_run_can_go_on(
    rnnexp, start_copy, workdir: Path, store_uri: str, signum: signal.Signals, code: int
) -> None:
    long = [*SMALL[:2], "trainer.max_steps=100000", "trainer.val_every=50", "task.val_batches=1"]
    process = start_copy("-m", "rnnexp", "train", *long, cwd=workdir)
    assert comes_true(
        lambda: any("val/loss" in file.read_text() for file in workdir.rglob("*.jsonl"))
    )
    process.send_signal(signum)
    begun = time.monotonic()
    assert process.wait(60) == code
    assert time.monotonic() - begun < 10
    assert "checkpoint and record are saved" in (workdir / "stderr.txt").read_text()
    (run,) = runs_in(store_uri)
    assert run.info.status == "KILLED"
    (stopped,) = summaries(workdir)
    step = torch.load(Path(stopped["folder"], "checkpoints/last.ckpt"), weights_only=True)
    more = step["global_step"] + 5
    done = rnnexp("train", f"resume={run.info.run_id}", f"trainer.max_steps={more}")
    assert done.code == 0, done.err
    (run,) = runs_in(store_uri)
    assert run.info.status == "FINISHED"
    assert "rnnexp.error" not in run.data.tags
    history = MlflowClient(store_uri).get_metric_history(run.info.run_id, "train/loss")
    assert [m.step for m in history] == [*range(1, more + 1)]


@pytest.mark.slow
def test_ctrl_c_that_ends_who_reads_ends_the_run_as_well_as_ever(workdir: Path) -> None:
    words = [*SMALL[:2], "trainer.max_steps=100000", "trainer.val_every=20", "task.val_batches=1"]
    command = [sys.executable, "-m", "rnnexp", "train", *words, "tracking.wait=0"]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(command, cwd=workdir, **piped)
    assert process.stdout is not None
    try:
        assert comes_true(lambda: any(workdir.rglob("last.ckpt")))
        process.stdout.close()  # as where it is `tee` that reads
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
    (stopped,) = summaries(workdir)
    assert (stopped["status"], stopped["error"]) == ("KILLED", "stopped by SIGINT")


def test_a_run_that_still_trains_is_left_alone_and_a_killed_one_goes_on_at_once(
    rnnexp, start_python, workdir: Path, store_uri: str
) -> None:
    words = [*SMALL[:2], "trainer.max_steps=100000", "trainer.val_every=20", "task.val_batches=1"]
    words += ["task.test_batches=2", "tracking.wait=0"]
    first = start_python("-m", "rnnexp", "train", "hydra.run.dir=out", *words, cwd=workdir)
    last = workdir / "out" / "checkpoints" / "last.ckpt"
    assert comes_true(last.is_file)
    second = rnnexp("train", "resume=out")
    assert second.code == 2, second.err
    assert f"process {first.pid} on {platform.node()} is at work on this run" in second.err
    assert first.poll() is None
    first.kill()
    first.wait(60)
    more = torch.load(last, weights_only=True)["global_step"] + 5
    done = rnnexp("train", "resume=out", f"trainer.max_steps={more}")
    assert done.code == 0, done.err
    recorded = [(step, key) for step, key, _ in figures(str(workdir / "out"))]
    assert (more, "train/loss") in recorded
    assert len(set(recorded)) == len(recorded), "no step is recorded twice"
