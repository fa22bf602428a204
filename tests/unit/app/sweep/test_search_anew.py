"""Which trials are those of a search: its jobs' plugins have changed, or its folder is gone."""

import shutil
from pathlib import Path
from typing import cast

import pytest

from rnnexp.__main__ import run
from rnnexp.app.config.compose import Corner, check_jobs, prepare
from rnnexp.app.jobs.folder import COMPLETE
from rnnexp.app.sweep.search import Search
from rnnexp.tracking.files import write_json
from rnnexp.tracking.outcome import Outcome

from ....unforwarded import Unforwarded

WORDS = ["hydra/sweeper=optuna", "hydra.sweeper.trials=3", "sweep.name=mine", "seed=0,1"]
NOW, EDITED = {"cell lstm": "a", "task adding": "b"}, {"cell lstm": "c", "task adding": "b"}


def search(monkeypatch: pytest.MonkeyPatch, contents: dict[str, str], *words: str) -> Search:
    monkeypatch.setattr("rnnexp.app.sweep.search.contents", lambda values: contents)
    prepare([])
    corners = cast("list[Corner]", check_jobs([*WORDS, *words], True, None))
    return Search(corners, [*WORDS, *words], Unforwarded("sqlite:///x.db", None), {})


def begun(monkeypatch: pytest.MonkeyPatch, contents: dict[str, str]) -> Search:
    """Leave a search with a job that is done."""
    found = search(monkeypatch, contents)
    found.expect(2)
    job = found.folder / "0123"
    job.mkdir()
    Outcome("a", str(job), "FINISHED").write()
    (job / COMPLETE).touch()
    write_json(found.folder / "sweep.json", {**found.definition(), "jobs": [job.name]})
    found.close(stopped=True)
    return found


def test_of_the_same_contents_it_goes_on(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(monkeypatch, NOW)
    # Other cells are no other contents of those that it had.
    again = search(monkeypatch, {"cell gru": "d", "task adding": "b"}, "cell=gru")
    assert again.outdated is None
    again.expect(2)
    assert [folder.name for folder in again.earlier] == ["0123"]
    again.close(stopped=True)
    assert search(monkeypatch, EDITED).changed == ["cell lstm"], "which it has had, though not last"


def test_of_other_contents_it_begins_anew(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(monkeypatch, NOW)
    again = search(monkeypatch, EDITED)
    assert again.outdated == "were made with other contents of cell lstm"
    assert run(["sweep", "plan", *WORDS]) == 0
    planned = capsys.readouterr().out
    assert "its trials so far were made with other contents of cell lstm." in planned
    assert "3 jobs left" in planned
    again.expect(3)
    assert (again.earlier, again.whole) == ([], 3)
    again.close(stopped=True)
    assert search(monkeypatch, EDITED).outdated is None


def test_without_its_folder_it_begins_anew(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(begun(monkeypatch, NOW).folder)
    assert search(monkeypatch, NOW).outdated == "were made in a folder that is gone"
