"""The status file of a job: for whoever looks, and never a reason to end."""

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rnnexp.app.run import status
from rnnexp.app.run.status import StatusFile
from rnnexp.tracking.files import read_json


def no_space(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_one_that_cannot_be_written_is_tried_again_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "_REFRESH_SECONDS", 0.0)
    file = StatusFile(cast(Any, SimpleNamespace(latest={"train/loss": 0.5})), tmp_path / "status")
    trainer = cast(Any, SimpleNamespace(global_step=3, max_steps=9))
    with monkeypatch.context() as full:
        full.setattr(status, "replace_json", no_space)
        file.on_train_batch_end(trainer, cast(Any, None))
    assert not file.path.exists()
    file.on_train_batch_end(trainer, cast(Any, None))
    assert read_json(file.path) == {"step": 3, "of": 9, "loss": 0.5}
