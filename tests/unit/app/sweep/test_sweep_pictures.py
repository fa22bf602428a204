from pathlib import Path

import pytest

from rnnexp.app.sweep import pictures
from rnnexp.app.sweep.pictures import SWEEP_PICTURES, draw_sweep_picture
from rnnexp.errors import UnknownNameError
from rnnexp.tracking.outcome import Outcome


def test_draws_the_finished_runs(tmp_path: Path, monkeypatch) -> None:
    def draw(runs, folder: Path) -> list[Path]:
        return [folder / f"{run.name}.png" for run in runs]

    monkeypatch.setitem(SWEEP_PICTURES, "mine", draw)
    outcomes = [Outcome("a", "x", "FINISHED"), Outcome("b", "y", "FAILED")]
    assert draw_sweep_picture("mine", outcomes, tmp_path) == [tmp_path / "a.png"]
    assert draw_sweep_picture("mine", outcomes[1:], tmp_path) == []


def test_a_failure_is_said_and_does_no_harm(tmp_path: Path, monkeypatch, capsys) -> None:
    def draw(runs, folder: Path) -> list[Path]:
        raise OSError("disk full")

    monkeypatch.setitem(SWEEP_PICTURES, "mine", draw)
    assert draw_sweep_picture("mine", [Outcome("a", "x", "FINISHED")], tmp_path) == []
    assert "picture mine not drawn: disk full" in capsys.readouterr().err


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="cliff_surface"):
        draw_sweep_picture("cliff", [], tmp_path)


def test_every_named_picture_exists(plugins) -> None:
    named = {entry.cls.sweep_picture for entry in plugins.all("task")} - {None}
    assert named == {"cliff_surface"}
    assert named <= set(pictures.SWEEP_PICTURES)
