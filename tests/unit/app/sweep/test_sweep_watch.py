"""What a sweep says of its jobs as they end."""

import json
import signal
from pathlib import Path

import pytest

from hydra_plugins.rnnexp_local_launcher._pool import Ended
from rnnexp.app.jobs.folder import outcome_of
from rnnexp.app.jobs.lease import acquire
from rnnexp.app.sweep.watch import JobTask, SweepWatcher
from rnnexp.tracking import Journals, RunHeader
from rnnexp.tracking.journal import JournalWriter, read_all
from rnnexp.tracking.outcome import Outcome
from rnnexp.tracking.records import tags_record

from ..swept import end, opened


def test_jobs_that_end_together_are_counted_one_by_one(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = opened(3)
    watcher = SweepWatcher(sweep, moving=False)
    tasks = [JobTask(item) for item in sweep.items[:2]]
    for task in tasks:
        watcher.started(task)
        end(task.item)
    head = watcher._picture(waiting=1).renderables[0]
    assert str(head) == "mine  0 done  2 running  0 failed  1 left"
    for task in tasks:
        assert watcher.ended(Ended(task, 0, None, 1.0, False))
    sweep.close(stopped=False)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["[1/3]", "[2/3]"]
    assert sweep.count() == {"done": 2, "running": 0, "failed": 0, "left": 1}
    summary = json.loads((sweep.folder / "sweep_summary.json").read_text())
    assert [outcome["status"] for outcome in summary["jobs"]] == ["FINISHED"] * 2, (
        "the third never ran"
    )


ENDS = {  # of the job that another process has when the sweep begins; of the last one
    "it saved its state": ("KILLED", "FINISHED", "FAILED"),
    "it finished, another failed": ("FINISHED", "FAILED", "FAILED"),
    "it finished": ("FINISHED", "FINISHED", "FINISHED"),
    "it is at work still": (None, "FINISHED", "FINISHED"),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_job_of_another_process_counts_as_what_became_of_it(how: str, workdir: Path) -> None:
    its, last, wanted = ENDS[how]
    sweep = opened(3)
    first, second, third = sweep.items
    lease = acquire(first.folder)
    assert lease is not None
    assert sweep.left() == [second, third, first], "it is tried again, and last"
    end(second)
    end(third, last)
    if its is not None:
        end(first, its)
        lease.release()
    sweep.close(stopped=False)
    *_, record = read_all(sweep.folder / "journal.jsonl")
    assert (record["kind"], record["status"]) == ("end", wanted)
    assert sweep.status == wanted


def test_one_that_was_ended_while_it_waited_is_left_to_the_other(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = opened(3)
    item = sweep.items[0]
    lease = acquire(item.folder)
    assert lease is not None
    log = Journals("", None).open_run(item.folder, RunHeader("a", "b", {}, {}))
    *_, task = [JobTask(item) for item in sweep.left()]
    watcher = SweepWatcher(sweep, moving=False)
    watcher.started(task)
    assert watcher.ended(Ended(task, None, signal.SIGTERM, 1.0, True))
    assert "another process runs it" in capsys.readouterr().err
    log.end("FINISHED")
    ends = [r["status"] for r in read_all(item.folder / "journal.jsonl") if r["kind"] == "end"]
    assert ends == ["FINISHED"]
    assert outcome_of(item.folder) is None
    lease.release()
    sweep.close(stopped=True)


def test_one_that_another_process_has_begun_meanwhile_is_left_to_it(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = opened(3)
    watcher = SweepWatcher(sweep, moving=False)
    task = JobTask(sweep.items[0])
    sweep.freeze(task.item, 1)
    lease = acquire(task.item.folder)  # after the command has looked who is at work
    assert lease is not None
    log = Journals("", None).open_run(task.item.folder, RunHeader("a", "b", {}, {}))
    before = (task.item.folder / "journal.jsonl").read_bytes()
    watcher.started(task)
    assert watcher.ended(Ended(task, 143, None, 1.0, asked=True)), "it was cancelled as it waited"
    assert "another process runs it" in capsys.readouterr().err
    assert (task.item.folder / "journal.jsonl").read_bytes() == before
    assert outcome_of(task.item.folder) is None
    log.end("FINISHED")
    lease.release()
    sweep.close(stopped=True)


@pytest.mark.parametrize("written", [True, False])
def test_the_reason_of_a_failed_job_is_said_once(
    workdir: Path, capsys: pytest.CaptureFixture[str], written: bool
) -> None:
    sweep = opened(3)
    task = JobTask(sweep.items[0])
    watcher = SweepWatcher(sweep, moving=False)
    watcher.started(task)
    sweep.freeze(task.item, 1)
    outcome = Outcome(task.name, str(task.item.folder), error="the cell broke")
    if written:
        outcome.write()
    task.log.write_text(f"a warning\nrnnexp: {outcome.how if written else outcome.error}\n")
    assert not watcher.ended(Ended(task, 1, None, 1.0, False))
    said = capsys.readouterr().err
    assert said.count("the cell broke") == 1
    assert "a warning" in said
    kept = outcome_of(task.item.folder)
    assert kept is not None
    assert str(kept.error).endswith("the cell broke")
    assert sweep.told == {task.item.folder}
    sweep.close(stopped=False)


def test_why_jobs_wait_in_a_queue_is_shown(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rnnexp.app.sweep.queued.FIRST_SECONDS", 0.0)
    monkeypatch.setattr("rnnexp.app.sweep.queued.waiting", lambda folder: {"PartitionConfig": 2})
    sweep = opened(3)
    watcher = SweepWatcher(sweep, moving=False)
    watcher.turn([], waiting=0)
    said = "2 jobs wait in the queue: PartitionConfig"
    assert f"[0/3] {said}\n" in capsys.readouterr().err
    assert str(watcher._picture(waiting=0).renderables[1]).strip() == said
    sweep.close(stopped=False)


def test_a_sweep_looks_after_its_sink_at_every_turn(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = opened(3)
    turns: list[str] = []
    monkeypatch.setattr(sweep.tracking, "look_after", lambda: turns.append("looked after"))
    watcher = SweepWatcher(sweep, moving=False)
    watcher.turn([], waiting=0)
    assert turns == ["looked after"]
    sweep.close(stopped=True)


def test_the_record_counts_jobs_that_have_begun(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = opened(3)
    watcher = SweepWatcher(sweep, moving=False)
    watcher.started(JobTask(sweep.items[0]))
    watcher.turn([], waiting=2)
    monkeypatch.setattr(watcher, "_shown", 0.0)
    watcher.turn([], waiting=2)  # nothing is new
    records = read_all(sweep.folder / "journal.jsonl")
    told = [r["values"]["rnnexp.sweep.running"] for r in records if r["kind"] == "tags"]
    assert told == ["1"]
    sweep.close(stopped=True)


SIGNALS = {  # and whether the pool had asked the job to end; what its run is then
    "memory ran out": (signal.SIGKILL, False, "FAILED"),
    "a library broke": (signal.SIGSEGV, False, "FAILED"),
    "it took too long to save": (signal.SIGKILL, True, "KILLED"),
    "it was stopped as it began": (signal.SIGTERM, True, "KILLED"),
    "a stranger stopped it as it began": (signal.SIGTERM, False, "FAILED"),
}


@pytest.mark.parametrize("how", SIGNALS)
def test_a_signal_that_nobody_meant_is_a_failure(how: str, workdir: Path) -> None:
    signum, asked, status = SIGNALS[how]
    sweep = opened(3)
    task = JobTask(sweep.items[0])
    journal = JournalWriter(task.item.folder, background=False)
    journal.append(tags_record({"begun": "yes"}))
    journal.close()
    watcher = SweepWatcher(sweep, moving=False)
    watcher.started(task)
    well = watcher.ended(Ended(task, None, signum, 1.0, asked=asked))
    assert well == (status == "KILLED"), "only a failure ends a sweep"
    *_, record = read_all(task.item.folder / "journal.jsonl")
    assert (record["kind"], record["status"]) == ("end", status)
    assert f"killed by {signum.name}" in record["reason"]
    assert (task.item in sweep.left()) == (status == "KILLED"), "what was stopped goes on"
    sweep.close(stopped=False)


ASKED = {  # exit code, signal, whether the pool asked, whether a cluster may; whether it goes on
    "the sweep ends": (143, None, True, False, True),
    "a stranger ends it": (143, None, False, False, False),
    "a cluster wants its machine": (143, None, False, True, True),
    "Ctrl-C": (130, None, False, False, True),
    "it fails as it is asked": (1, None, True, True, False),
    "memory runs out on a cluster": (None, signal.SIGKILL, False, True, False),
    "its worker is lost": (None, None, False, True, False),
    "its worker is ended as it does not end": (None, None, True, True, True),
}


@pytest.mark.parametrize("how", ASKED)
def test_what_goes_on_later_was_stopped_by_who_may(how: str, workdir: Path) -> None:
    code, signum, asked, preemptible, goes_on = ASKED[how]
    sweep = opened(3)
    task = JobTask(sweep.items[0])
    sweep.close(stopped=True)
    ended = Ended(task, code, signum, 1.0, asked=asked, preemptible=preemptible)
    assert ended.was_stopped == goes_on
