import json
import os
from pathlib import Path

import pytest

from rnnexp.__main__ import run
from rnnexp.errors import UserError
from rnnexp.files import RUN
from rnnexp.report.load import load_summaries, runs_without_end
from rnnexp.tracking.outcome import Outcome


def _write(folder: Path, name: str, time: int) -> None:
    folder.mkdir(parents=True)
    Outcome(name, str(folder), "FINISHED", {"a": "1"}, {"test/loss": 0.5}, 2.0, "id").write()
    os.utime(folder / "summary.json", (time, time))


def test_runs_are_loaded_oldest_first(tmp_path: Path) -> None:
    _write(tmp_path / "b" / "deep", "first", 1)
    _write(tmp_path / "a", "second", 2)
    one, two = load_summaries(tmp_path)
    assert (one.name, two.name) == ("first", "second")
    assert (one.config, one.metrics, one.run_id) == ({"a": "1"}, {"test/loss": 0.5}, "id")
    assert load_summaries(tmp_path / "none") == []


def test_a_folder_that_is_named_twice_is_loaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path / "a" / "deep", "first", 1)
    _write(tmp_path / "b", "second", 2)
    monkeypatch.chdir(tmp_path)
    roots = [Path("a/deep"), tmp_path, Path(), Path("b/../a")]
    assert [run.name for run in load_summaries(*roots)] == ["first", "second"]


def test_moved_folder_is_where_it_is(tmp_path: Path) -> None:
    _write(tmp_path / "old", "x", 1)
    (tmp_path / "old").rename(tmp_path / "new")
    assert load_summaries(tmp_path)[0].folder == str(tmp_path / "new")


def test_the_id_of_a_job_that_did_not_wait_for_the_store_is_found(tmp_path: Path) -> None:
    for folder in (tmp_path / "stored", tmp_path / "waiting"):
        folder.mkdir()
        Outcome(folder.name, str(folder), "FINISHED", {}, {}, 2.0, None).write()
    (tmp_path / "stored" / RUN).write_text('{"run_id": "abc", "key": "k"}')
    found = {run.name: run.run_id for run in load_summaries(tmp_path)}
    assert found == {"stored": "abc", "waiting": None}


@pytest.mark.parametrize("text", ["", '{"name": "x"', '{"name": "x"}', "[]"])
def test_unreadable_summary_is_said_in_words(tmp_path: Path, text: str) -> None:
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(UserError, match=r"summary\.json is no summary of a run.*Remove it"):
        load_summaries(tmp_path)


def test_later_versions_may_add_to_a_summary(tmp_path: Path) -> None:
    _write(tmp_path / "a", "x", 1)
    file = tmp_path / "a" / "summary.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"new": 1}))
    assert load_summaries(tmp_path)[0].name == "x"


def test_summary_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / "a", "x", 1)
    outcome = Outcome("y", str(tmp_path / "a"), metrics={"bad": object()})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        outcome.write()
    assert load_summaries(tmp_path)[0].name == "x"


def test_runs_without_an_ending_are_found_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(tmp_path / "done", "first", 1)
    for name in ("done", "killed", "sweep"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "journal.jsonl").touch()
    (tmp_path / "sweep" / "sweep.json").touch()
    assert runs_without_end(tmp_path, tmp_path) == [tmp_path / "killed"]
    assert run(["compare", str(tmp_path)]) == 0
    told = f"a run is left out that has no ending: at work still, or killed. {tmp_path}/killed"
    assert told in capsys.readouterr().err
