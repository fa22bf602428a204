"""What is said after a signal is true, and what it hints at can be done."""

import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import pytest

from rnnexp.__main__ import run as command
from rnnexp.app.commands import rerun
from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.jobs.folder import COMPLETE, Frozen, outcome_of
from rnnexp.app.run.resume import Origin
from rnnexp.app.run.run import run
from rnnexp.app.run.stopped import after_end, after_stop
from rnnexp.app.run.traceback_file import TRACEBACK
from rnnexp.app.sweep import session, worker
from rnnexp.errors import ConfigError
from rnnexp.files import CURSOR
from rnnexp.tracking import Journals, RunHeader, RunLog, Tracking
from rnnexp.tracking.files import write_json
from rnnexp.tracking.journal import read_all
from rnnexp.tracking.outcome import Outcome
from rnnexp.training.checkpoints import SafeCheckpointIO
from rnnexp.training.interrupt import Stopped, StopRequest


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


def finish(folder: Path, status: Literal["FINISHED", "FAILED"] = "FINISHED") -> Outcome:
    """Leave what a run leaves that is over, of which the store has nothing yet."""
    Journals("", None).open_run(folder, RunHeader("a", "b", {}, {})).end(status)
    outcome = Outcome("a", str(folder), status)
    outcome.write()
    return outcome


@pytest.mark.parametrize("moment", ["in the run", "at the end of the command"])
def test_a_signal_after_the_end_says_that_the_run_is_finished(
    moment: str,
    workdir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    late = Stopped(signal.SIGINT)

    def ended(plan: object, folder: Path, *arguments: object, **options: object) -> Outcome:
        outcome = finish(folder)
        if moment == "in the run":
            late.too_late = True
            raise late
        return outcome

    def close(self: Tracking, timeout: float) -> list[Path]:
        assert moment != "in the run" or timeout <= 5.0, "nobody waits a second time"
        if moment == "at the end of the command":
            raise late
        return []

    monkeypatch.setattr(session, "run", ended)
    monkeypatch.setattr(Tracking, "close", close)
    monkeypatch.setattr(sys, "argv", list(sys.argv))  # Hydra wants its own
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert command(["train", "hydra.run.dir=out"]) == 130
    said = capsys.readouterr().err
    out = workdir / "out"
    assert f"stopped by SIGINT; the run is finished, and its record is saved in {out};" in said
    assert f"only its delivery was interrupted. Deliver it: rnnexp sync {out}" in said
    assert "Go on" not in said


def test_a_signal_after_a_rerun_says_that_it_is_finished(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(self: Tracking, timeout: float) -> list[Path]:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("nobody took the signal")

    prepare([])
    plan = check_jobs([], multirun=False, config_dir=None)[0].plan
    finish(workdir / "old")
    (workdir / "old" / "config.yaml").touch()
    monkeypatch.setattr(rerun, "recorded_plan", lambda folder: plan)
    monkeypatch.setattr(rerun, "take_threads_of", lambda folder, plan: None)
    monkeypatch.setattr(rerun, "run", lambda plan, folder, *args, **options: finish(folder))
    monkeypatch.setattr(Tracking, "close", interrupted)
    assert command(["rerun", "old"]) == 130
    said = capsys.readouterr().err
    assert "stopped by SIGINT; the run is finished, and its record is saved in outputs/" in said
    assert "the same command again" not in said


def interrupted(self: Tracking, timeout: float) -> list[Path]:
    """Stand in for `Tracking.close`, while which SIGTERM comes."""
    raise Stopped(signal.SIGTERM)


def test_a_signal_after_a_failure_does_not_ask_to_repeat_it(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "run", lambda plan, folder, *_, **__: finish(folder, "FAILED"))
    monkeypatch.setattr(Tracking, "close", interrupted)
    monkeypatch.setattr(sys, "argv", list(sys.argv))  # Hydra wants its own
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert command(["train", "hydra.run.dir=out"]) == 143
    said, out = capsys.readouterr().err, workdir / "out"
    assert f"the run had failed already, and its record, which says why, is saved in {out};" in said
    assert f"only its delivery was interrupted. Deliver it: rnnexp sync {out}" in said
    assert "again" not in said


def test_only_this_program_speaks_of_an_error_and_a_signal_after_it(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ConfigError("no luck")

    monkeypatch.setattr(session, "run", broken)
    monkeypatch.setattr(sys, "argv", list(sys.argv))  # Hydra wants its own
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert command(["train", "hydra.run.dir=out"]) == 2
    assert capsys.readouterr().err == "rnnexp: no luck\n"
    monkeypatch.setattr(Tracking, "close", interrupted)
    assert command(["train", "hydra.run.dir=out"]) == 143
    assert capsys.readouterr().err.startswith("rnnexp: stopped by SIGTERM; ")


def test_a_signal_while_the_store_names_a_failed_run(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: object, **options: object) -> None:
        raise Stopped(signal.SIGTERM)

    def fails(*arguments: object) -> None:
        raise ValueError("no luck")

    monkeypatch.setattr("rnnexp.app.run.run._train", fails)
    monkeypatch.setattr("rnnexp.app.run.run.RunLog.run_id", stopped)
    prepare([])
    plan = check_jobs(SMALL, multirun=False, config_dir=None)[0].plan
    with pytest.raises(Stopped) as caught:
        run(plan, workdir / "run", Journals("sqlite:///no.db", None), StopRequest(), tags={})
    assert caught.value.too_late
    assert "the run had failed already" in after_end(workdir / "run")


def test_what_is_delivered_needs_no_sync(tmp_path: Path) -> None:
    finish(tmp_path)
    size = (tmp_path / "journal.jsonl").stat().st_size
    write_json(tmp_path / CURSOR, {"ended": True, "offset": size})
    assert after_end(tmp_path) == f"the run is finished, and its record is delivered ({tmp_path})."


SMALL = ["task.length=8", "cell.hidden_size=4", "trainer.max_steps=2", "task.val_batches=1"]
SMALL += ["task.test_batches=1", "cell=elman", "trainer.progress=none", "flush_denormal=false"]


@pytest.mark.parametrize("moment", ["draw_run_pictures", "RunLog.run_id"])
def test_a_signal_after_training_leaves_the_ending(
    moment: str, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: object, **options: object) -> None:
        raise Stopped(signal.SIGINT)

    monkeypatch.setattr(f"rnnexp.app.run.run.{moment}", stopped)
    prepare([])
    plan = check_jobs([*SMALL, "monitor.pictures=always"], multirun=False, config_dir=None)[0].plan
    with pytest.raises(Stopped) as caught:
        run(plan, workdir / "run", Journals("sqlite:///no.db", None), StopRequest(), tags={})
    assert caught.value.too_late
    outcome = outcome_of(workdir / "run")
    assert outcome is not None
    assert outcome.status == "FINISHED"
    *_, last = read_all(workdir / "run" / "journal.jsonl")
    assert (last["kind"], last["status"]) == ("end", "FINISHED")


@pytest.mark.parametrize("error", [Stopped(signal.SIGINT), OSError("no space left")])
def test_what_ends_a_run_before_training_is_on_record(
    error: BaseException, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended() -> str:
        raise error

    monkeypatch.setattr("rnnexp.app.run.run.package_list", ended)
    prepare([])
    plan = check_jobs([*SMALL, "tracking.wait=0"], multirun=False, config_dir=None)[0].plan
    status = "KILLED" if isinstance(error, Stopped) else "FAILED"
    with pytest.raises(Stopped) if isinstance(error, Stopped) else nullcontext():
        run(plan, workdir / "run", Journals("sqlite:///no.db", None), StopRequest(), tags={})
    outcome = outcome_of(workdir / "run")
    assert outcome is not None
    assert outcome.status == status
    *_, last = read_all(workdir / "run" / "journal.jsonl")
    assert (last["kind"], last["status"]) == ("end", status)


@pytest.mark.parametrize("known", [True, False])
def test_a_signal_while_the_record_is_begun_ends_it(workdir: Path, known: bool) -> None:
    class Slow(Journals):
        def open_run(self, *arguments: Any, **options: Any) -> RunLog:
            log = super().open_run(*arguments, **options)
            log.seconds_before = 7.0
            stop.receive(signal.SIGTERM, None)
            return log

    stop, origin = StopRequest(), Origin(None, folder=workdir / "run") if known else None
    (workdir / "run").mkdir()
    (workdir / "run" / TRACEBACK).write_text("it broke")
    prepare([])
    plan = check_jobs(SMALL, multirun=False, config_dir=None)[0].plan
    with pytest.raises(Stopped):
        run(plan, workdir / "run", Slow("sqlite:///no.db", None), stop, tags={}, origin=origin)
    *files, last = read_all(workdir / "run" / "journal.jsonl")
    assert (last["kind"], last["reason"]) == ("end", "stopped by SIGTERM")
    outcome = outcome_of(workdir / "run")
    assert outcome is not None
    assert outcome.seconds == 7.0, "those of its earlier parts"
    kept = [workdir / "run" / r["path"] for r in files if r["kind"] == "artifact"]
    assert [file.name for file in kept] == ([TRACEBACK] if known else [])
    assert all(file.read_text().startswith("An earlier attempt") for file in kept)


def test_a_job_that_had_finished_is_complete(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(plan: object, folder: Path, *arguments: object, **options: object) -> None:
        finish(folder)
        late = Stopped(signal.SIGTERM)
        late.too_late = True
        raise late

    monkeypatch.setattr(worker, "run", ended)
    prepare([])
    plan = check_jobs(SMALL, multirun=False, config_dir=None)[0].plan
    Frozen(plan.values, {}, "sqlite:///no.db", None, 1).write(workdir / "job")
    assert worker.run_folder(workdir / "job") == 143
    assert (workdir / "job" / COMPLETE).is_file()
