"""A disk that is full for a while ends neither a sweep nor its record."""

import errno
from pathlib import Path

import pytest

from hydra_plugins.rnnexp_local_launcher._pool import Ended
from rnnexp.app.jobs.folder import outcome_of, state_of
from rnnexp.app.jobs.lease import holder_of
from rnnexp.app.sweep import unwritten
from rnnexp.app.sweep.sweep import Sweep
from rnnexp.app.sweep.watch import JobTask, SweepWatcher
from rnnexp.tracking.journal import JournalWriter, read_all
from rnnexp.tracking.outcome import Outcome
from rnnexp.tracking.records import tags_record

from ..swept import opened


class Disk:
    """Refuses to take how jobs have ended, so many times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refusals: float) -> None:
        self.left = refusals
        writes = Outcome.write

        def write(outcome: Outcome) -> None:
            self.check()
            writes(outcome)

        monkeypatch.setattr(Outcome, "write", write)
        monkeypatch.setattr(unwritten, "write_json", self.check)

    def check(self, *arguments: object, **options: object) -> None:
        self.left -= 1
        if self.left >= 0:
            raise OSError(errno.ENOSPC, "No space left on device")


def fail(sweep: Sweep, number: int) -> Path:
    """Let a job end early, as on a full disk: its own process could not say how."""
    task = JobTask(sweep.items[number])
    journal = JournalWriter(task.item.folder, background=False)
    journal.append(tags_record({"begun": "yes"}))
    journal.close()
    watcher = SweepWatcher(sweep, moving=False)
    watcher.started(task)
    assert not watcher.ended(Ended(task, 1, None, 1.0))
    return task.item.folder


def test_a_moment_without_room_is_waited_for(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unwritten, "_PATIENCE_SECONDS", 5.0)
    sweep = opened(3)
    Disk(monkeypatch, refusals=3)
    outcome = outcome_of(fail(sweep, 0))
    assert outcome is not None
    reason = "its process ended early, exit code 1; its folder cannot be written: No space left"
    assert str(outcome.error).startswith(reason)
    assert reason in capsys.readouterr().err
    sweep.close(stopped=False)


def test_what_was_refused_is_written_at_a_later_turn(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unwritten, "_PATIENCE_SECONDS", 0.0)
    sweep = opened(3)
    disk = Disk(monkeypatch, refusals=float("inf"))
    first, second = fail(sweep, 0), fail(sweep, 1)
    assert [state_of(first), state_of(second)] == ["interrupted", "interrupted"]
    disk.left = 0
    sweep.beat()
    assert [state_of(first), state_of(second)] == ["failed", "failed"]
    sweep.close(stopped=False)


def test_without_room_until_the_end_the_record_is_ended_all_the_same(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unwritten, "_PATIENCE_SECONDS", 0.0)
    sweep = opened(3)
    Disk(monkeypatch, refusals=float("inf"))
    folder = fail(sweep, 0)
    capsys.readouterr()
    sweep.close(stopped=False)
    said = capsys.readouterr().err
    assert f"{folder}: how it has ended cannot be written: No space left on device." in said
    assert f"{sweep.folder / 'sweep_summary.json'}: cannot be written" in said
    *_, record = read_all(sweep.folder / "journal.jsonl")
    assert (record["kind"], record["status"]) == ("end", "FAILED")
    assert holder_of(sweep.folder) is None, "it is handed back"
    assert state_of(folder) == "interrupted", "the same command goes on with it"
