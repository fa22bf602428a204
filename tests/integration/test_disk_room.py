"""What a run is expected to write, beside what it writes."""

from pathlib import Path

import pytest

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.config.disk import bytes_of

WORDS = [
    *("task=adding", "task.length=200", "task.batch_size=4", "cell=lstm", "cell.hidden_size=128"),
    *(
        "model.layers=2",
        "model.bidirectional=true",
        "trainer.max_steps=60",
        "monitor.flow_every=1",
    ),
    *("trainer.val_every=30", "task.val_batches=1", "task.test_batches=1"),
]


@pytest.mark.slow
def test_the_estimate_is_from_above_and_near(rnnexp, workdir: Path) -> None:
    assert rnnexp("train", *WORDS).code == 0
    files = [f for f in workdir.rglob("*") if f.is_file()]
    written = sum(f.stat().st_size for f in files)
    prepare(WORDS)
    (job,) = check_jobs(WORDS, multirun=False, config_dir=None)
    estimate = bytes_of(job.plan, {})
    assert written < estimate < 3 * written
