"""A run that is stopped or killed and goes on gives the same bits as one left alone."""

import hashlib
import json
import random
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything

from rnnexp.app.config.build import build_data, build_module
from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.run.trainer import make_trainer
from rnnexp.registry import Registry
from rnnexp.tracking import RunHeader
from rnnexp.tracking.service import RunLog
from rnnexp.training.checkpoints import LAST, PREVIOUS, find_checkpoint
from rnnexp.training.interrupt import Stopped, StopRequest
from rnnexp.training.resume import ResumePoint

from ..waiting import comes_true

SIZE = ["task.length=12", "task.batch_size=4", "cell.hidden_size=5", "task.val_batches=2"]
SIZE += ["monitor.flow_every=1"]


@dataclass(frozen=True)
class Case:
    """A random configuration, and the training batch at which the run is broken off."""

    overrides: tuple[str, ...]
    broken_at: int
    how: str


def draw_case(number: int) -> Case:
    rng = random.Random(number)
    steps, accumulate = rng.randint(8, 14), rng.choice([1, 1, 2, 3])
    words = [
        f"cell={rng.choice(['elman', 'lstm', 'gru', 'leaky'])}",
        f"task={rng.choice(['adding', 'copy_memory', 'temporal_order'])}",
        f"model.layers={(layers := rng.choice([1, 2]))}",
        f"model.dropout={rng.choice([0.0, 0.4]) * (layers - 1)}",
        f"optimizer={rng.choice(['adam', 'sgd', 'rmsprop'])}",
        f"scheduler={rng.choice(['none', 'cosine', 'step', 'warmup'])}",
        f"unroll.window={rng.choice(['null', 'null', 5])}",
        f"clip={rng.choice(['none', 'norm'])}",
        f"trainer.accumulate={accumulate}",
        f"trainer.max_steps={steps}",
        f"trainer.val_every={rng.randint(2, 9)}",
        f"task.train_batches={rng.choice([4, 5, 100])}",
        f"seed={rng.randint(0, 9)}",
    ]
    broken_at = rng.randint(1, steps - 3)  # an epoch's last step accumulates less
    return Case(tuple(words), broken_at, rng.choice(["signal", "kill"]))


class Killed(BaseException):
    """Stands for kill -9: nothing is saved."""


class BreakOff(Callback):
    """Break the run off in the middle of a training batch; draw from every generator before."""

    def __init__(self, at: int | None, how: str, stop: StopRequest) -> None:
        self.at, self.how, self.stop = at, how, stop
        self.draws: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        pl_module.log("logged/batch", float(batch_idx))

    def on_before_backward(self, trainer: Trainer, *args: Any) -> None:
        import numpy as np

        self.draws += [random.random(), float(np.random.rand()), float(torch.rand(()))]
        if self.at is not None and trainer.fit_loop.total_batch_idx >= self.at:
            if self.how == "kill":
                raise Killed
            self.stop.signum = signal.SIGTERM


def train(case: Case, folder: Path, at: int | None, log: RunLog, checkpoint: Path | None) -> str:
    plan = check_jobs([*SIZE, *case.overrides], multirun=False, config_dir=None)[0].plan
    seed_everything(plan.values["seed"], verbose=False)
    stop = StopRequest()
    trainer = make_trainer(plan, folder, log, stop)
    for callback in trainer.callbacks:
        if isinstance(callback, ResumePoint):
            callback.seconds_between = 0.0
    trainer.callbacks.append(BreakOff(at, case.how, stop))
    module: LightningModule = build_module(plan)
    path = str(checkpoint) if checkpoint else None
    trainer.fit(module, build_data(plan), ckpt_path=path)
    state = module.state_dict()
    optimizer = json.dumps(trainer.optimizers[0].state_dict(), default=lambda t: t.tolist())
    content = b"".join(state[key].numpy().tobytes() for key in sorted(state))
    best = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    content += b"".join(best[key].numpy().tobytes() for key in sorted(best))
    return hashlib.sha256(content + optimizer.encode()).hexdigest()


def series(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    found: dict[str, list[tuple[int, Any]]] = {}
    for line in (folder / "journal.jsonl").read_text().splitlines():
        record = json.loads(line)
        told = record["kind"] in ("metrics", "profile")
        for key, value in record.get("values", {}).items() if told else ():
            if key.startswith("time/"):
                continue
            # Two validations can fall into one accumulated step: the same weights, logged once.
            points = found.setdefault(key, [])
            if (record["step"], value) not in points:
                points.append((record["step"], value))
    return found


def open_log(folder: Path, continues: bool = False) -> RunLog:
    return RunLog(folder, RunHeader("case", "test", {}, {}, continues=continues), "none", None)


# Weights of float64, of which float32 holds the first half.
DOUBLE = ("trainer.precision=64-true", "cell=lstm", "trainer.max_steps=9", "trainer.val_every=4")


CASES = {**{str(n): draw_case(n) for n in range(14)}, "double": Case(DOUBLE, 6, "kill")}


LIKE_OTHERS = {"7", "9", "10", "12", "13"}
"""Cases that differ from a quick one in combinations only."""


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=n, marks=[pytest.mark.slow] if n in LIKE_OTHERS else [])
        for n, case in CASES.items()
    ],
)
def test_a_broken_run_goes_on_bit_for_bit(case: Case, tmp_path: Path) -> None:
    assert prepare([]) == []
    goes_on_bit_for_bit(case, tmp_path)


def goes_on_bit_for_bit(case: Case, tmp_path: Path) -> None:
    control, broken = tmp_path / "control", tmp_path / "broken"
    log = open_log(control)
    expected = train(case, control, None, log, None)
    log.end("FINISHED")
    log = open_log(broken)
    try:
        train(case, broken, case.broken_at, log, None)
    except Stopped:
        assert case.how == "signal"
        assert (broken / "checkpoints" / LAST).is_file()
    except Killed:
        assert case.how == "kill"
    else:
        pytest.fail("the run was not broken off")
    log.end("KILLED")
    log = open_log(broken, continues=True)
    assert train(case, broken, None, log, find_checkpoint(broken).path) == expected, case
    log.end("FINISHED")
    assert series(broken) == series(control), case


LOOPED = '''
import torch
from rnnexp.cells import PointwiseCell, register_cell

@register_cell("sums")
class Sums(PointwiseCell):
    """Its units see each other."""
    num_gates = 1

    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh((wx_BGH + rh_BGH).squeeze(-2)).cumsum(-1),)

@register_cell("zoneout")
class Zoneout(PointwiseCell):
    """Keeps its past at random."""
    num_gates = 1

    def update(self, wx_BGH, rh_BGH, state):
        new_BH = torch.tanh((wx_BGH + rh_BGH).squeeze(-2))
        keep_BH = torch.rand(new_BH.shape) < 0.5 * self.training
        return (torch.where(keep_BH, state[0], new_BH),)
'''


@pytest.mark.parametrize(
    "words", [("cell=sums", "model.layers=2", "model.dropout=0.4"), ("cell=zoneout",)]
)
def test_so_does_one_whose_cell_no_fast_backend_runs(
    words: tuple[str, ...], tmp_path: Path, registry: Registry
) -> None:
    (tmp_path / "looped.py").write_text(LOOPED)
    assert prepare([f"plugin_dirs=[{tmp_path}]"]) == []
    more = (*words, "trainer.max_steps=6", "trainer.val_every=2")
    goes_on_bit_for_bit(Case(more, 3, "signal"), tmp_path)


def test_the_comparison_can_fail(tmp_path: Path) -> None:
    case = Case(("cell=elman", "trainer.max_steps=4", "trainer.val_every=2"), 0, "kill")
    prepare([])
    digests: set[str] = set()
    for seed in (0, 1):
        log = open_log(tmp_path / str(seed))
        other = replace(case, overrides=(*case.overrides, f"seed={seed}"))
        digests.add(train(other, tmp_path / str(seed), None, log, None))
        log.end("FINISHED")
    assert len(digests) == 2
    assert series(tmp_path / "0") != series(tmp_path / "1")


LONG = ["task.length=10", "cell=gru", "cell.hidden_size=8", "model.layers=2", "model.dropout=0.2"]
LONG += ["trainer.max_steps=1500", "trainer.val_every=60", "task.val_batches=2"]
LONG += ["task.test_batches=2", "tracking.wait=0", "scheduler=cosine"]


def digest_of_last(folder: Path) -> str:
    state = torch.load(folder / "checkpoints" / LAST, weights_only=True)["state_dict"]
    return hashlib.sha256(b"".join(state[k].numpy().tobytes() for k in sorted(state))).hexdigest()


@pytest.mark.slow
def test_a_killed_process_goes_on_from_an_older_checkpoint(
    rnnexp, start_python, workdir: Path, store_uri: str
) -> None:
    assert rnnexp("train", "hydra.run.dir=control", *LONG).code == 0
    control, folder = workdir / "control", workdir / "killed"
    words = ["-m", "rnnexp", "train", "hydra.run.dir=killed", *LONG]
    process = start_python(*words, cwd=workdir)
    assert comes_true(lambda: (folder / "checkpoints" / PREVIOUS).is_file())
    time.sleep(random.random() / 2)
    process.kill()
    process.wait(60)
    damaged = folder / "checkpoints" / LAST
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    done = rnnexp("train", "resume=killed")
    assert done.code == 0, done.err
    assert "last.ckpt is damaged: its sha256" in done.err
    assert digest_of_last(folder) == digest_of_last(control)
    assert series(folder) == series(control)


KILLS = '''
import os, signal
from pathlib import Path
from pytorch_lightning import Callback
from rnnexp.registry import register_callback

@register_callback("kills")
class Kills(Callback):
    """Ends its process once, after the last step."""

    def on_test_start(self, trainer, pl_module):
        if Path("kill").exists():
            Path("kill").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
'''


@pytest.mark.slow
def test_a_run_that_was_stopped_early_and_killed_trains_no_more(
    rnnexp, workdir: Path, store_uri: str
) -> None:
    (workdir / "mine").mkdir()
    (workdir / "mine" / "kills.py").write_text(KILLS)
    (workdir / "kill").touch()
    words = [*SIZE, "plugin_dirs=[mine]", "+callbacks.kills={}", "trainer.early_stop_after=1"]
    words += ["trainer.val_every=5", "optimizer.lr=0.3", "task.test_batches=2", "tracking.wait=0"]
    killed = rnnexp("train", "-m", "seed=0", "sweep.name=mine", *words)
    assert killed.code == 1
    for name in ("mine", "control"):
        again = [f"sweep.name={name}", "sweep.retry_failed=true"]
        done = rnnexp("train", "-m", "seed=0", *again, *words)
        assert done.code == 0, done.err
    mine, control = (
        next((workdir / "outputs" / "sweeps" / name).glob("*/journal.jsonl")).parent
        for name in ("mine", "control")
    )
    assert digest_of_last(mine) == digest_of_last(control)
    assert series(mine) == series(control)
