"""The file by which the processes of a run find one another."""

from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rnnexp.app.run import team


class NotStartedError(Exception):
    """Instead of the other processes."""


def start_none(*_: object) -> None:
    raise NotStartedError


@pytest.mark.parametrize("devices", [1, 2])
def test_one_that_a_killed_process_has_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, devices: int
) -> None:
    monkeypatch.setattr(team, "threads_of", lambda plan, folder: 1)
    monkeypatch.setattr(team, "Others", start_none)
    (tmp_path / ".meeting-0badcafe").touch()
    plan = cast(Any, SimpleNamespace(values={"trainer": {"devices": devices}}))
    with suppress(NotStartedError), team.team(plan, tmp_path, None, print):
        assert not list(tmp_path.glob(".meeting-*"))
    assert not list(tmp_path.glob(".meeting-*"))
