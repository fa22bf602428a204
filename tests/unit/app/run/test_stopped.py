"""What is said after a signal is true, and what it hints at can be done."""

import signal
import sys
from pathlib import Path

import pytest

from rnnexp.__main__ import run as command
from rnnexp.app.run.stopped import after_stop
from rnnexp.app.sweep import session
from rnnexp.tracking import Journals, RunHeader
from rnnexp.training.checkpoints import SafeCheckpointIO
from rnnexp.training.interrupt import Stopped


def hydra_folder(folder: Path) -> Path:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text("")
    return folder


def test_a_folder_in_which_nothing_has_begun_goes(tmp_path: Path) -> None:
    folder = hydra_folder(tmp_path / "run")
    assert after_stop(folder).startswith("the run had not begun: there is nothing to go on from.")
    assert not folder.exists()
    assert after_stop(None) == after_stop(folder)


def test_what_else_lies_in_a_folder_stays(tmp_path: Path) -> None:
    folder = hydra_folder(tmp_path / "run")
    (folder / "notes.txt").write_text("mine")
    assert "there is nothing to go on from" in after_stop(folder)
    assert (folder / "notes.txt").is_file()


def test_a_record_without_a_checkpoint_is_said_to_be_one(tmp_path: Path) -> None:
    Journals("", None).open_run(tmp_path, RunHeader("a", "b", {}, {})).end("KILLED")
    assert f"the record is saved in {tmp_path}, and no checkpoint yet" in after_stop(tmp_path)


def test_a_checkpoint_is_what_a_run_goes_on_from(tmp_path: Path) -> None:
    SafeCheckpointIO().save_checkpoint({}, tmp_path / "checkpoints" / "last.ckpt")
    said = after_stop(tmp_path)
    assert said == f"checkpoint and record are saved. Go on: rnnexp train resume={tmp_path}"


def test_a_signal_before_the_run_begins(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*arguments: object, **options: object) -> None:
        raise Stopped(signal.SIGINT)

    monkeypatch.setattr(session, "run", stopped)
    monkeypatch.setattr(sys, "argv", list(sys.argv))  # Hydra wants its own
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert command(["train", "hydra.run.dir=out"]) == 130
    said = capsys.readouterr().err
    assert "stopped by SIGINT; the run had not begun: there is nothing to go on from." in said
    assert not (workdir / "out").exists()
