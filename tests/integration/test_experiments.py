"""Every named study composes, and runs for two steps."""

from pathlib import Path

import pytest

from rnnexp.paths import conf_dir

NAMES = sorted(file.stem for file in (conf_dir() / "experiment").glob("*.yaml"))
SHORT = ["trainer.max_steps=2", "trainer.val_every=2", "tracking.wait=0", "cell.hidden_size=8"]


@pytest.mark.parametrize("name", NAMES)
def test_runs_two_steps(rnnexp, workdir: Path, store_uri: str, name: str) -> None:
    done = rnnexp("train", f"experiment={name}", *SHORT, timeout=150)
    assert done.code == 0, done.err
    files = list(workdir.rglob("checkpoints/last.ckpt"))
    assert files
    assert all(file.stat().st_size > 0 for file in files)
