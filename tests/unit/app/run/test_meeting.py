"""The file by which the processes of a run find one another."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rnnexp.app.run import team


def test_one_that_a_killed_process_has_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(team, "threads_of", lambda plan, folder: 1)
    (tmp_path / ".meeting-0badcafe").touch()
    plan = cast(Any, SimpleNamespace(values={"trainer": {"devices": 2}}))
    team._orders(plan, tmp_path, None)
    assert not list(tmp_path.glob(".meeting-*"))
