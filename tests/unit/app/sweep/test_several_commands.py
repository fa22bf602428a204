"""A sweep of several commands: its record and its words are of the jobs of all of them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from rnnexp.__main__ import run
from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.jobs.folder import COMPLETE, Frozen
from rnnexp.app.sweep.items import Item
from rnnexp.app.sweep.sweep import Sweep
from rnnexp.tracking import RunHeader, RunLog, key_of, load_run, sync
from rnnexp.tracking.family import BEST_RUN
from rnnexp.tracking.journal import read_all
from rnnexp.tracking.outcome import Outcome

from ....unforwarded import Unforwarded

LOSSES = {0: 3.0, 1: 4.0, 2: 2.0, 3: 1.0}


def end(item: Item, failed: Sequence[int]) -> None:
    seed = int(item.job.plan.values["seed"])
    item.folder.mkdir(exist_ok=True)
    metrics = {"val/loss_best": LOSSES[seed], "cliffs/count": float(seed)}
    outcome = Outcome(item.name, str(item.folder), metrics=metrics)
    if seed not in failed:
        outcome.status = "FINISHED"
        (item.folder / COMPLETE).touch()
        frozen = Frozen.read(item.folder)
        header = RunHeader(item.name, "rnnexp", {}, {}, parent_key=frozen.parent)
        RunLog(item.folder, header, frozen.uri, None, False).end("FINISHED")
    outcome.write()


def command(
    seeds: str,
    failed: Sequence[int] = (),
    uri: str = "sqlite:///x.db",
    more: Sequence[str] = (),
) -> Sweep:
    """Do what a command does, but for the training."""
    words = [f"seed={seeds}", "sweep.name=mine", "tracking.wait=0", *more]
    prepare(words)
    jobs = check_jobs(words, multirun=True, config_dir=None)
    tags = {"rnnexp.command": f"rnnexp train -m {' '.join(words)}"}
    sweep = Sweep(jobs, words, Unforwarded(uri, None), tags)
    sweep.open()
    for item in sweep.left():
        sweep.freeze(item, 1)
        end(item, failed)
    sweep.tell()
    sweep.close(stopped=False)
    return sweep


def tags_of(sweep: Sweep) -> dict[str, str]:
    found: dict[str, str] = {}
    for record in read_all(sweep.folder / "journal.jsonl"):
        if record["kind"] in ("start", "tags"):
            found |= record["tags" if record["kind"] == "start" else "values"]
    return {key.removeprefix("rnnexp.sweep."): value for key, value in found.items()}


def test_the_record_of_a_sweep_is_of_all_its_commands(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("0,1")
    best = command("2,3").items[-1]
    sweep = command("0,1")
    assert sweep.count()["done"] == 2, "of the command"
    tags = tags_of(sweep)
    assert tags["best"].startswith("adding-lstm-clip_norm-s3, val/loss_best 1")
    assert tags["best_key"] == key_of(best.folder)
    assert (tags["jobs"], tags["done"], tags["left"]) == ("4", "4", "0")
    assert tags["finished"] == "4 of 4"
    assert len(json.loads((sweep.folder / "sweep_summary.json").read_text())["jobs"]) == 4
    assert run(["sweep", "status"]) == 0
    assert "mine: 4 done" in capsys.readouterr().out


def test_what_another_command_left_alone_is_told(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command("0,1", failed=[1])
    sweep = command("2,3")
    tags = tags_of(sweep)
    assert (tags["finished"], tags["failed"]) == ("3 of 4", "1")
    assert sweep.status == "FINISHED", "the command did what it was asked for"
    monkeypatch.setattr("rnnexp.app.commands.train.main", lambda command, arguments: 0)
    assert run(["sweep", "retry", "mine"]) == 0
    again = "rnnexp train -m seed=0,1 sweep.name=mine tracking.wait=0 sweep.retry_failed=true"
    assert f"of an earlier command jobs have failed, too. Again: {again}" in capsys.readouterr().out


def test_jobs_of_this_command_as_its_plugins_were_are_not_told(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rnnexp.app.commands.train.main", lambda command, arguments: 0)
    monkeypatch.setattr("rnnexp.app.config.identity.digests", lambda values: {"cell": "broken"})
    command("0,1", failed=[0, 1])
    monkeypatch.setattr("rnnexp.app.config.identity.digests", lambda values: {"cell": "mended"})
    assert tags_of(command("0,1"))["finished"] == "2 of 4"
    assert run(["sweep", "retry", "mine"]) == 0
    assert "earlier command" not in capsys.readouterr().out


def tags_in(store: str, run_id: str | None) -> dict[str, str]:
    return MlflowClient(store).get_run(str(run_id)).data.tags


def test_the_best_run_is_named_when_the_store_has_it(workdir: Path, store_uri: str) -> None:
    sweep = command("0,1", uri=store_uri)
    sync(sweep.folder)
    parent = load_run(sweep.folder).run_id
    assert BEST_RUN not in tags_in(store_uri, parent)
    for item in sweep.items:
        sync(item.folder)
    assert tags_in(store_uri, parent)[BEST_RUN] == sweep.outcomes[0].run_id is not None
    wider = command("2,3", uri=store_uri)
    sync(wider.folder)
    assert BEST_RUN not in tags_in(store_uri, parent), "nothing, rather than a worse one"
    sync(wider.items[1].folder)
    assert tags_in(store_uri, parent)[BEST_RUN] == wider.outcomes[1].run_id is not None


@pytest.mark.parametrize("made_anew", [False, True])
def test_ids_that_the_store_has_lost_are_not_told(
    workdir: Path, store_uri: str, made_anew: bool
) -> None:
    empty = (workdir / "mlflow.db").read_bytes()
    first = command("0,1", uri=store_uri)
    sync(first.items[0].folder)
    assert first.outcomes[0].run_id is not None
    for file in workdir.glob("mlflow.db*"):
        file.unlink()
    if made_anew:
        (workdir / "mlflow.db").write_bytes(empty)
    command("2", uri=store_uri)
    told = json.loads((first.folder / "sweep_summary.json").read_text())["jobs"]
    assert [outcome["run_id"] for outcome in [*told, *map(vars, first.outcomes)]] == [None] * 5


def compared_in(sweep: Sweep) -> list[list[str]]:
    records = read_all(sweep.folder / "journal.jsonl")
    return [record["compared"]["varied"] for record in records if record["kind"] == "start"]


def test_what_an_earlier_command_varied_stays_a_column(workdir: Path) -> None:
    command("0,1")
    assert compared_in(command("0")) == [["seed"]] * 2
    assert compared_in(command("2", more=["cell=gru"]))[2:] == [["cell.name", "seed"]]


def test_its_record_describes_it(workdir: Path) -> None:
    best = "adding-lstm-clip_norm-s2, val/loss_best 2"
    note = read_all(command("0,1,2", failed=[1]).folder / "journal.jsonl")
    (tags,) = [v for r in note if "mlflow.note.content" in (v := r.get("values", {}))]
    lines = ["**2 of 3** runs finished", "Cliffs: 3 in 2 of 3 runs.", f"Best: {best}"]
    assert tags["mlflow.note.content"].split("\n\n") == lines
    assert tags["rnnexp.sweep.finished"] == "2 of 3", "one record of both"


@pytest.mark.parametrize("parent_is_deleted", [False, True])
def test_it_goes_on_in_an_experiment_that_was_renamed(
    workdir: Path, store_uri: str, parent_is_deleted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep, client = command("0,1", uri=store_uri), MlflowClient(store_uri)
    for folder in (sweep.folder, *(item.folder for item in sweep.items)):
        sync(folder)
    parent = str(load_run(sweep.folder).run_id)
    client.rename_experiment(client.get_run(parent).info.experiment_id, "study")
    if parent_is_deleted:
        client.delete_run(parent)
    wider = command("2", uri=store_uri)
    assert Frozen.read(wider.items[0].folder).values["tracking"]["experiment"] == "study"
    words = "its record is in the experiment 'study', and goes on there: not in tracking.experiment"
    assert f"rnnexp: outputs/sweeps/mine: {words}=rnnexp." in capsys.readouterr().err
    sync(wider.folder)
    again = str(load_run(wider.folder).run_id)
    assert (again == parent) != parent_is_deleted
    assert client.get_experiment_by_name("rnnexp") is None
    tags = [tags_in(store_uri, item.outcome.run_id) for item in sweep.items]
    assert [tag["mlflow.parentRunId"] for tag in tags] == [again] * 2
