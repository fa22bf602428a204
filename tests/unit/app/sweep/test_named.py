"""Ids that a store gives when the sweep is over are in its summary, there and in the store."""

import json
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from rnnexp.__main__ import run
from rnnexp.app.jobs.lease import acquire
from rnnexp.app.run.patience import Patience
from rnnexp.app.sweep import named
from rnnexp.app.sweep.named import name_runs
from rnnexp.app.sweep.sweep import Sweep
from rnnexp.files import RUN
from rnnexp.tracking.files import id_in, write_json
from rnnexp.tracking.journal import read_all

from .test_several_commands import command


class Store(named.Tracking):
    """Names a run at each look."""

    def __init__(self, sweep: Sweep) -> None:
        super().__init__("sqlite:///x.db", None)
        self.left = [item.folder for item in sweep.items]

    def look_after(self) -> None:
        if self.left:
            write_json(self.left[0] / RUN, {"run_id": f"id{len(self.left)}"})
            del self.left[0]


def ended(monkeypatch: pytest.MonkeyPatch) -> Sweep:
    monkeypatch.setattr(named, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr("rnnexp.app.sweep.items.lost_from", lambda uri, ids: set())
    sweep = command("0,1")
    sweep.tracking = Store(sweep)
    return sweep


def ids(sweep: Sweep) -> list[str | None]:
    summary = json.loads((sweep.folder / "sweep_summary.json").read_text())
    return [o["run_id"] for o in summary["jobs"]]


def test_they_are_waited_for(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = ended(monkeypatch)
    assert ids(sweep) == [None, None]
    name_runs(sweep, Patience("", 60.0))
    assert ids(sweep) == ["id2", "id1"]
    *_, end, record = read_all(sweep.folder / "journal.jsonl")
    assert (end["kind"], record["kind"]) == ("end", "artifact")
    assert record["path"].endswith("sweep_summary.json"), "the store gets it once more"


def test_without_patience_nothing_is_written(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = ended(monkeypatch)
    name_runs(sweep, Patience("", 0.0))
    *_, record = read_all(sweep.folder / "journal.jsonl")
    assert (record["kind"], ids(sweep)) == ("end", [None, None])


def test_of_a_sweep_that_another_command_has_by_then_nothing_is_written(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = ended(monkeypatch)
    assert acquire(sweep.folder) is not None
    name_runs(sweep, Patience("", 60.0))
    assert ids(sweep) == [None, None]


def test_a_later_delivery_names_them(workdir: Path, store_uri: str) -> None:
    sweep = command("0,1", uri=store_uri)
    assert ids(sweep) == [None, None]
    assert run(["sync"]) == 0
    assert ids(sweep) == [id_in(item.folder) for item in sweep.items]
    parent = id_in(sweep.folder)
    assert parent is not None
    kept = MlflowClient(store_uri).download_artifacts(parent, "sweep_summary.json", str(workdir))
    assert [o["run_id"] for o in json.loads(Path(kept).read_text())["jobs"]] == ids(sweep)
    before = (sweep.folder / "journal.jsonl").read_bytes()
    assert run(["sync"]) == 0
    assert (sweep.folder / "journal.jsonl").read_bytes() == before, "nothing new: nothing more"


def test_a_later_delivery_leaves_what_is_no_whole_summary(workdir: Path, store_uri: str) -> None:
    sweep = command("0,1", uri=store_uri)
    (sweep.folder / "sweep_summary.json").write_text("[")
    assert run(["sync"]) == 0
    assert (sweep.folder / "sweep_summary.json").read_text() == "["


def test_a_later_delivery_names_them_in_the_list_of_an_older_sweep(
    workdir: Path, store_uri: str
) -> None:
    sweep = command("0,1", uri=store_uri)
    file = sweep.folder / "sweep_summary.json"
    write_json(file, json.loads(file.read_text())["jobs"])
    assert run(["sync"]) == 0
    assert ids(sweep) == [id_in(item.folder) for item in sweep.items]
    assert None not in ids(sweep)
