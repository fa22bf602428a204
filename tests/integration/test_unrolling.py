"""How time is unrolled, from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

SMALL = ["task.length=10", "cell.hidden_size=8", "trainer.max_steps=6", "trainer.val_every=3"]
SMALL += ["task.val_batches=2", "task.test_batches=2", "cell=gru"]


def figures(rnnexp: Any, workdir: Path, *words: str) -> dict[str, Any]:
    done = rnnexp("train", *SMALL, *words, timeout=120)
    assert done.code == 0, done.err
    newest = max(workdir.rglob("summary.json"), key=lambda file: file.stat().st_mtime)
    return json.loads(newest.read_text())["metrics"]


@pytest.mark.slow
def test_recomputation_trains_to_the_same_loss(rnnexp: Any, workdir: Path, store_uri: str) -> None:
    store = f"tracking.uri={store_uri}"
    plain = figures(rnnexp, workdir, store)
    words = ("unroll.checkpoint_every=3", "unroll.check_finite=true")
    sparing = figures(rnnexp, workdir, store, *words)
    assert abs(plain["test/loss"] - sparing["test/loss"]) < 1e-5 * plain["test/loss"]


@pytest.mark.slow
def test_both_directions_train(rnnexp: Any, workdir: Path, store_uri: str) -> None:
    store = f"tracking.uri={store_uri}"
    one = figures(rnnexp, workdir, store)
    both = figures(rnnexp, workdir, store, "model.bidirectional=true")
    assert both["test/loss"] > 0
    assert both["test/loss"] != one["test/loss"]
