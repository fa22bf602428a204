"""A new run that begins with the checkpoint of another counts what it sees itself."""

import shutil
from pathlib import Path

import pytest
import torch

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.run.fit import fit
from rnnexp.monitors.gradients import StepMonitor
from rnnexp.monitors.watch import CliffWatch
from rnnexp.tracking import RunHeader, RunLog, load_run
from rnnexp.training.checkpoints import LAST
from rnnexp.training.interrupt import StopRequest

WORDS = ["task.length=8", "cell.hidden_size=4", "cell=elman", "task.val_batches=1"]
WORDS += ["trainer.progress=none", "flush_denormal=false"]
CLIPPED, CALM = "clip.max_norm=1e-6", "clip.max_norm=1e6"


def trained(folder: Path, checkpoint: Path | None, *words: str) -> dict[str, float]:
    """Train, and give what the run sums itself up by."""
    prepare([])
    plan = check_jobs([*WORDS, "clip=norm", *words], multirun=False, config_dir=None)[0].plan
    log = RunLog(folder, RunHeader("new", "test", {}, {}), "none", None)
    callbacks = fit(plan, folder, log, StopRequest(), checkpoint).trainer.callbacks  # type: ignore[attr-defined]
    log.end("FINISHED")
    counting = (c for c in callbacks if isinstance(c, StepMonitor | CliffWatch))
    return {key: value for callback in counting for key, value in callback.summary().items()}


@pytest.fixture
def eventful(workdir: Path) -> Path:
    """The checkpoint of a run whose steps were clipped, and which has seen more than that."""
    trained(workdir / "run", None, CLIPPED, "trainer.max_steps=4")
    file = workdir / "run" / "checkpoints" / LAST
    content = torch.load(file, weights_only=True)
    content["callbacks"]["StepMonitor"]["guard"] |= {"skipped": 1, "rollbacks": 2}
    content["callbacks"]["CliffWatch"] |= {"count": 3, "largest": 1e9, "step": 2}
    torch.save(content, file)
    return file


def test_from_a_file_it_begins_at_zero(eventful: Path, workdir: Path) -> None:
    words = [f"resume={eventful}", CALM, "trainer.max_steps=6"]
    found = trained(workdir / "new", eventful, *words)
    counts = ("grad/clipped_fraction", "grad/skipped", "grad/rollbacks", "cliffs/count")
    assert [found[name] for name in counts] == [0.0] * 4
    assert found["grad/largest_raw_norm"] < 1e3
    assert "cliffs/largest" not in found
    assert [step for step, _ in load_run(workdir / "new").metrics["train/lr"]] == [5]


@pytest.mark.parametrize("place", ["run", "elsewhere"])
def test_a_run_that_goes_on_counts_on(eventful: Path, workdir: Path, place: str) -> None:
    shutil.copytree(workdir / "run", workdir / "kept")
    words = [f"resume={workdir / 'kept'}", CALM, "trainer.max_steps=8"]
    found = trained(workdir / place, eventful, *words)
    counts = ("grad/clipped_fraction", "grad/skipped", "grad/rollbacks", "cliffs/count")
    assert [found[name] for name in counts] == [0.5, 1.0, 2.0, 3.0]
    assert found["train/sequences"] == 8 * 32
