"""What a run is judged by: its best validation, whose weights are kept and tested."""

import json
from pathlib import Path

import pytest
import torch

from rnnexp.tracking.journal import read_all

RISING = ["task=adding", "task.length=5", "optimizer=sgd", "optimizer.lr=3", "clip=none"]
SHORT = ["trainer.max_steps=12", "trainer.val_every=3", "monitor.nonfinite=skip"]


def test_the_best_is_on_record_where_later_ones_are_worse(rnnexp, workdir: Path) -> None:
    done = rnnexp("train", "hydra.run.dir=out", *RISING, *SHORT)
    assert done.code == 0, done.err
    points = [r for r in read_all(Path("out/journal.jsonl")) if r["kind"] == "metrics"]
    losses = [r["values"]["val/loss"] for r in points if "val/loss" in r["values"]]
    best = [r["values"]["val/loss_best"] for r in points if "val/loss_best" in r["values"]]
    assert best == [min(losses[: n + 1]) for n in range(len(losses))]
    assert losses[-1] > best[-1], "the last is the best: the test shows nothing"
    metrics = json.loads(Path("out/summary.json").read_text())["metrics"]
    assert metrics["val/loss_best"] == best[-1]
    shares = [r["values"]["val/loss_relative"] for r in points if "val/loss" in r["values"]]
    assert metrics["val/loss_relative_best"] == pytest.approx(min(shares))
    kept = torch.load("out/checkpoints/best.ckpt", weights_only=True)
    assert kept["global_step"] == 3 * (losses.index(best[-1]) + 1)
