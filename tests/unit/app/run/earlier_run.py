"""Finished runs that tests go on with, and the words of the usual one."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.run.run import run
from rnnexp.tracking import Journals
from rnnexp.training.interrupt import StopRequest

WORDS = ["task.length=8", "cell.hidden_size=4", "trainer.max_steps=2", "task.val_batches=1"]
WORDS += ["task.test_batches=1", "monitor.pictures=never", "cell=elman", "trainer.progress=none"]
WORDS += ["tracking.wait=0", "flush_denormal=false"]  # the latter would stay in this process


def finished_run(folder: Path, words: Sequence[str]) -> Path:
    """Train to the end, and leave the folder as ``rnnexp train`` does."""
    prepare([])
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(words)))
    plan = check_jobs(words, multirun=False, config_dir=None)[0].plan
    outcome = run(plan, folder, Journals("sqlite:///no.db", None), StopRequest(), tags={})
    assert outcome.status == "FINISHED", outcome.error
    return folder
