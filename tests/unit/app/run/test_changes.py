"""Versions and sources that have changed since a checkpoint was written."""

from pathlib import Path

import pytest

from rnnexp.app.run.changes import changes_since
from rnnexp.app.run.resume import Origin
from rnnexp.tracking import Journals, RunHeader

PARAMS = {"trainer.devices": "2", "optimizer.lr": "0.1"}
THEN = {"version.torch": "2.12.0", "version.rnnexp": "0.1", "host": "here"}
HEADER = RunHeader("a", "b", PARAMS, THEN)


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    log = Journals("sqlite:///none.db", None).open_run(tmp_path, HEADER)
    log.tags({"rnnexp.source.cell": "aa", "rnnexp.source.task": "bb"})
    log.tags({"rnnexp.source.task.path": "aa"})
    log.end("FINISHED")
    return Origin(tmp_path / "checkpoints" / "last.ckpt", folder=tmp_path)


NOW = {**THEN, **PARAMS, "rnnexp.source.cell": "aa", "rnnexp.source.task": "bb"}


def test_nothing_has_changed(origin: Origin) -> None:
    assert changes_since(origin, {**NOW, "host": "elsewhere", "optimizer.lr": "1"}) == []


def test_what_has_changed_is_named(origin: Origin) -> None:
    now = {**NOW, "version.torch": "2.13.0", "rnnexp.source.cell": "cc"}
    now["rnnexp.source.task.path"] = "bb"
    assert changes_since(origin, now) == [
        "The source of the cell has changed since the checkpoint.",
        "What the file of task.path holds has changed since the checkpoint.",
        "torch is 2.13.0, and was 2.12.0 when the checkpoint was written.",
    ]


def test_other_threads_are_named(tmp_path: Path) -> None:
    then = {"rnnexp.threads": "1"}
    Journals("", None).open_run(tmp_path, RunHeader("a", "b", {}, then)).end("FINISHED")
    origin = Origin(tmp_path / "checkpoints" / "last.ckpt", folder=tmp_path)
    assert changes_since(origin, {"rnnexp.threads": "2"}) == [
        "threads is 2, and was 1 when the checkpoint was written."
    ]


def test_another_number_of_devices_is_named(origin: Origin) -> None:
    (words,) = changes_since(origin, {**NOW, "trainer.devices": "1"})
    assert words.startswith("trainer.devices is 1, and was 2 when the checkpoint was written:")


def test_a_checkpoint_file_knows_its_run(origin: Origin) -> None:
    alone = Origin(origin.checkpoint)
    assert len(changes_since(alone, {**NOW, "version.rnnexp": "0.2"})) == 1


def test_a_run_that_begins_anew_has_nothing_to_compare(tmp_path: Path, origin: Origin) -> None:
    assert changes_since(None, {"version.torch": "1"}) == []
    assert changes_since(Origin(None, folder=tmp_path), {"version.torch": "1"}) == []
    assert changes_since(Origin(Path("a", "b", "c.ckpt")), {"version.torch": "1"}) == []


def test_another_window_is_named(tmp_path: Path) -> None:
    header = RunHeader("a", "b", {"unroll.window": "null"}, {})
    Journals("", None).open_run(tmp_path, header).end("FINISHED")
    (words,) = changes_since(Origin(Path("last.ckpt"), folder=tmp_path), {"unroll.window": "4"})
    assert words.startswith("unroll.window is 4, and was null when the checkpoint was written: it")


def test_another_length_of_the_schedule_is_named(tmp_path: Path) -> None:
    header = RunHeader("a", "b", {"scheduler.T_max": "6"}, {})
    Journals("", None).open_run(tmp_path, header).end("FINISHED")
    (words,) = changes_since(Origin(Path("last.ckpt"), folder=tmp_path), {"scheduler.T_max": "9"})
    assert words.endswith("each step from here on is that of a schedule over 9 steps.")
