"""Damaged files of a job: what can be done without, what is done again, what is said."""

from pathlib import Path

import pytest

from rnnexp.app.jobs.folder import COMPLETE, PRUNED, Frozen, pruned_at, state_of
from rnnexp.app.jobs.lease import FILE, acquire, holder_of
from rnnexp.app.sweep import worker
from rnnexp.errors import UserError
from rnnexp.files import RUN, SUMMARY
from rnnexp.tracking.files import write_json
from rnnexp.tracking.outcome import Outcome

DAMAGE = {"empty": b"", "random": b"\xff\x00\xfe", "null": b"null", "a list": b"[1]"}
EDITED = {
    "half of it": b'{"pid": 1}',
    "a text for a number": b'{"host": "h", "pid": "1", "started": 0, "token": 1, "beat": 0}',
    "a beat that is none": b'{"host": "h", "pid": 1, "started": 0, "token": 1, "beat": "now"}',
    "a list for a token": b'{"token": [1]}',
}
damages = pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)


def finished(folder: Path) -> Path:
    Outcome("a", str(folder), "FINISHED").write()
    (folder / "journal.jsonl").touch()
    (folder / COMPLETE).touch()
    assert state_of(folder) == "done"
    return folder


@damages
def test_a_finished_job_with_a_damaged_summary_goes_on(tmp_path: Path, content: bytes) -> None:
    finished(tmp_path)
    (tmp_path / SUMMARY).write_bytes(content)
    assert state_of(tmp_path) == "interrupted"


def test_a_finished_job_that_goes_on_is_not_complete_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(folder: Path, *_: object) -> Outcome:
        outcome = Outcome("a", str(folder), error="it broke")
        outcome.write()
        return outcome

    monkeypatch.setattr(worker, "_run", fails)
    (finished(tmp_path) / SUMMARY).unlink()
    assert state_of(tmp_path) == "interrupted"
    assert worker.run_folder(tmp_path) == 1
    assert state_of(tmp_path) == "failed"


@damages
def test_a_damaged_id_does_not_hide_how_a_job_ended(tmp_path: Path, content: bytes) -> None:
    (finished(tmp_path) / RUN).write_bytes(content)
    assert Outcome.read(tmp_path / SUMMARY).run_id is None
    assert state_of(tmp_path) == "done"


@pytest.mark.parametrize("content", [*DAMAGE.values(), *EDITED.values()], ids=[*DAMAGE, *EDITED])
def test_a_damaged_lease_is_anybodys_and_its_holder_gives_way(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    first = acquire(tmp_path)
    assert first is not None
    (tmp_path / FILE).write_bytes(content)
    assert holder_of(tmp_path) is None
    assert not first.is_lost(), "it says nothing"
    assert capsys.readouterr().err == ""
    second = acquire(tmp_path)
    assert "lease.json is damaged, and does not say any more" in capsys.readouterr().err
    assert second is not None
    assert first.is_lost()
    assert second.is_mine()


def test_what_is_added_to_a_lease_is_left_alone(tmp_path: Path) -> None:
    assert acquire(tmp_path) is not None
    (tmp_path / FILE).write_text((tmp_path / FILE).read_text().replace("{", '{"note": "mine", '))
    assert holder_of(tmp_path) is not None
    assert acquire(tmp_path) is None, "its holder lives"


@damages
def test_another_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "job.json").write_bytes(content)
    with pytest.raises(UserError, match=r"job\.json is damaged: .+ remove it"):
        Frozen.read(tmp_path)


JOB = Frozen({"seed": 0}, {}, "sqlite:///x.db", None, 1)
CHANGED = {
    "config lost": ({"values": None}, "its 'values' is None"),
    "config a text": ({"values": "seed=0"}, "its 'values' is 'seed=0'"),
    "threads a text": ({"threads": "two"}, "its 'threads' is 'two'"),
    "reports a number": ({"reports": 1}, "its 'reports' is 1"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_job_that_was_edited_is_said(tmp_path: Path, name: str) -> None:
    changes, said = CHANGED[name]
    write_json(tmp_path / "job.json", {**JOB.__dict__, **changes})
    with pytest.raises(UserError, match=rf"job\.json is damaged: {said}\. Put it back"):
        Frozen.read(tmp_path)


def test_what_is_missing_or_added_in_a_job_is_no_damage(tmp_path: Path) -> None:
    kept = {key: value for key, value in JOB.__dict__.items() if key != "reports"}
    write_json(tmp_path / "job.json", {**kept, "note": "mine"})
    assert Frozen.read(tmp_path) == JOB


PRUNING = {**DAMAGE, "half of it": b'{"step": 3}', "a text": b'{"step":1,"figure":"a","value":"b"}'}


@pytest.mark.parametrize("content", PRUNING.values(), ids=PRUNING)
def test_a_job_that_was_pruned_stays_so(tmp_path: Path, content: bytes) -> None:
    assert pruned_at(tmp_path) is None
    write_json(tmp_path / PRUNED, {"step": 3, "figure": "val/loss", "value": 0.25})
    assert pruned_at(tmp_path) == "pruned at step 3: val/loss 0.25"
    (tmp_path / PRUNED).write_bytes(content)
    assert pruned_at(tmp_path) == "pruned; pruned.json, which said when, is damaged"
    assert state_of(tmp_path) == "pruned"
