"""What tests of sweeps under Slurm share: a network that is random, and what came of its jobs."""

import json
from pathlib import Path

from rnnexp.tracking import load_run

WORDS = ["task.length=10", "cell.hidden_size=8", "trainer.val_every=20", "task.val_batches=2"]
WORDS += ["task.test_batches=2", "tracking.wait=30", "model.dropout=0.2", "model.layers=2"]
WORDS += ["seed=0,1"]


def figures(sweep: Path) -> dict[str, float]:
    """Read what each job of a sweep has come to, by key."""
    files = sweep.glob("*/summary.json")
    return {f.parent.name: json.loads(f.read_text())["metrics"]["test/loss"] for f in files}


def both_train(sweep: Path) -> bool:
    """Tell whether both jobs have a checkpoint."""
    return len(list(sweep.glob("*/checkpoints/last.ckpt"))) == 2


def check_same_as_alone(sweep: Path, control: Path, steps: int) -> None:
    """Check that jobs ended as those of a sweep that was left alone, with every step once."""
    assert figures(sweep) == figures(control)
    for file in sweep.glob("*/COMPLETE"):
        made = [step for step, _ in load_run(file.parent).metrics["train/loss"]]
        assert made == list(range(1, steps + 1)), "every step once"
