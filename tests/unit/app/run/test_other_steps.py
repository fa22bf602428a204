"""What goes on amid a step, or with steps of more batches, divides by the batches it takes."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from rnnexp.app.config.build import Plan, build_module
from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.run.fit import fit
from rnnexp.monitors.groups import GroupNorms
from rnnexp.tracking import RunHeader, RunLog, load_run
from rnnexp.training.checkpoints import LAST
from rnnexp.training.interrupt import StopOnSignal, Stopped, StopRequest

WORDS = ["task.length=8", "cell.hidden_size=4", "cell=elman", "task.val_batches=1", "clip=none"]
WORDS += ["trainer.progress=none", "flush_denormal=false", "task.train_batches=12"]
WORDS += ["trainer.max_steps=9", "optimizer.lr=1e-30"]  # all steps have the weights of the first
STOPPED = 5
"""So many batches have been taken."""


def planned(*words: str) -> Plan:
    prepare([])
    return check_jobs([*WORDS, *words], multirun=False, config_dir=None)[0].plan


def loss_and_norm(plan: Plan, checkpoint: Path, batches: Sequence[int]) -> list[float]:
    module = build_module(plan)
    module.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
    mean = 0.0
    for batch in (plan.task.batch("train", number) for number in batches):
        outputs, _ = module.network(batch.inputs_TBI)
        loss = plan.task.loss(outputs, batch.targets) / len(batches)
        loss.backward()
        mean += float(loss.detach())
    return [mean, GroupNorms(module.network).total()]


@pytest.mark.parametrize(
    ("then", "now", "steps"),
    [
        ("trainer.accumulate=3", "trainer.accumulate=3", ["345", "678"]),
        ("trainer.accumulate=1", "trainer.accumulate=4", ["567"]),
        ("trainer.accumulate=3", "trainer.accumulate=4", ["567"]),
        ("trainer.accumulate=3", "trainer.accumulate=2", ["5", "67"]),
        ("trainer.accumulate=3", "trainer.accumulate=1", ["5", "6"]),
        ("trainer.accumulate=3", "trainer.accumulate=3 task.train_batches=4", ["56", "7"]),
    ],
)
def test_loss_and_gradient_are_the_mean_over_what_its_step_takes(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, then: str, now: str, steps: list[str]
) -> None:
    signals = iter([0] * STOPPED + [15])
    monkeypatch.setattr(StopOnSignal, "_heard", lambda *_: next(signals, 0))
    with pytest.raises(Stopped):
        fit(planned(then), workdir, None, StopRequest(), None)
    last = workdir / "checkpoints" / LAST
    kept = last.rename(workdir / "kept.ckpt")
    done = torch.load(kept, weights_only=True)["global_step"]
    plan, log = planned(*now.split()), RunLog(workdir, RunHeader("a", "b", {}, {}), "none", None)
    fit(plan, workdir, log, StopRequest(), kept)
    log.end("FINISHED")
    points = load_run(workdir).metrics
    figures = [dict(points[name]) for name in ("train/loss", "grad/raw_norm")]
    for step, batches in enumerate(steps, done + 1):
        expected = loss_and_norm(plan, kept, [int(number) for number in batches])
        assert [f[step] for f in figures] == pytest.approx(expected, rel=1e-4), batches
