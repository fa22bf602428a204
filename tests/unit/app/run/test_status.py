"""The status file of a job: for whoever looks, and never a reason to end."""

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rnnexp.app.commands.sweep import _how
from rnnexp.app.jobs.folder import STATUS
from rnnexp.app.run import callbacks
from rnnexp.app.run.callbacks import StatusFile
from rnnexp.app.sweep.watch import _progress_of
from rnnexp.tracking.files import read_json, write_json


def no_space(*arguments: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_one_that_cannot_be_written_is_tried_again_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "_REFRESH_SECONDS", 0.0)
    file = StatusFile(cast(Any, SimpleNamespace(latest={"train/loss": 0.5})), tmp_path / "status")
    trainer = cast(Any, SimpleNamespace(global_step=3, max_steps=9))
    with monkeypatch.context() as full:
        full.setattr(callbacks, "write_json", no_space)
        file.on_train_batch_end(trainer, cast(Any, None))
    assert not file.path.exists()
    file.on_train_batch_end(trainer, cast(Any, None))
    assert read_json(file.path) == {"step": 3, "of": 9, "loss": 0.5}


def test_an_empty_one_as_after_a_power_cut_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / STATUS).touch()
    assert _how(tmp_path, "running") == ""
    item = cast(Any, SimpleNamespace(folder=tmp_path, name="a job"))
    assert _progress_of(item) == "  a job  starting"


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnnexp.tracking.files.os.fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        write_json(tmp_path / "a.json", {})
    assert list(tmp_path.iterdir()) == []
