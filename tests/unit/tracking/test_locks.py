"""Locks keep others out where there are any, and nobody from working where there are none."""

import errno
import fcntl
import os
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from rnnexp.app.jobs.lease import acquire
from rnnexp.tracking import mlflow_client
from rnnexp.tracking.files import locked
from rnnexp.tracking.mlflow_client import open_client


def _is_free(path: Path) -> bool:
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_another_waits_for_the_end_of_the_block(tmp_path: Path) -> None:
    inside = Event()

    def other() -> None:
        with locked(tmp_path / "lock"):
            inside.set()

    waiting = Thread(target=other)
    with locked(tmp_path / "lock"):
        waiting.start()
        assert not inside.wait(0.1)
    waiting.join(10.0)
    assert inside.is_set()


def test_a_copy_of_the_process_does_not_go_on_holding_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, copies = fcntl.flock, list[int]()

    def copied(file: Any, how: int) -> None:
        if how == fcntl.LOCK_EX:
            copies.append(os.dup(file.fileno()))
        lock(file, how)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", copied)
        with locked(tmp_path / "lock"):
            assert not _is_free(tmp_path / "lock")
        assert _is_free(tmp_path / "lock")
    for copy in copies:
        os.close(copy)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_where_the_file_system_knows_none_all_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refused)
    monkeypatch.setattr(mlflow_client, "_make", lambda path: path.touch())
    monkeypatch.setattr(mlflow_client, "MlflowClient", _Client)
    lease = acquire(tmp_path)
    assert lease is not None
    assert acquire(tmp_path) is None
    lease.release()
    assert not lease.is_mine()
    assert isinstance(open_client(f"sqlite:///{tmp_path}/store.db"), _Client)


class _Client:
    def __init__(self, uri: str) -> None:
        self.search_experiments = lambda max_results: []


@pytest.mark.parametrize("readable", [True, False])
def test_one_that_another_user_has_made_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readable: bool
) -> None:
    (tmp_path / "lock").touch()
    opened = Path.open

    def denied(path: Path, mode: str = "r", *more: Any, **options: Any) -> Any:
        if path.name == "lock" and not (readable and mode == "rb"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, mode, *more, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", denied)
        with locked(tmp_path / "lock"):
            patched.undo()
            assert _is_free(tmp_path / "lock") is not readable
