"""What is said of the gradients of a run that has failed or was stopped, and what is kept."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.run.resume import Origin
from rnnexp.app.run.run import run
from rnnexp.monitors.gradients import StepMonitor
from rnnexp.monitors.nonfinite import NonFiniteGuard
from rnnexp.tracking import Journals, load_run
from rnnexp.tracking.journal import read_all
from rnnexp.tracking.outcome import Outcome, describe_outcome
from rnnexp.training.checkpoints import LAST
from rnnexp.training.interrupt import StopOnSignal, Stopped, StopRequest

WORDS = ["cell=elman", "optimizer=sgd", "optimizer.lr=0.1", "clip=none", "task.length=20"]
WORDS += ["trainer.max_steps=60", "monitor.pictures=never", "trainer.progress=none", "threads=1"]
WORDS += ["flush_denormal=false"]  # as the processor stands for the tests that follow
NOTE = "mlflow.note.content"


@pytest.fixture(scope="module")
def exploded(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A run whose gradient grows until it is not finite."""
    prepare([])
    folder = tmp_path_factory.mktemp("exploded")
    plan = check_jobs(WORDS, multirun=False, config_dir=None)[0].plan
    tracking = Journals(f"sqlite:///{folder}/mlflow.db", None)
    return run(plan, folder, tracking, StopRequest(), tags={}, parent="a-sweep")


def test_its_cliffs_and_norms_are_in_its_summary(exploded: Outcome) -> None:
    assert exploded.status == "FAILED"
    told = json.loads(Path(exploded.folder, "summary.json").read_text())["metrics"]
    record = load_run(Path(exploded.folder))
    counts = [value for _, value in record.metrics["cliffs/count"]]
    norms = [value for _, value in record.metrics["grad/raw_norm"]]
    assert told["cliffs/count"] == counts[-1] >= 1
    assert told["grad/largest_raw_norm"] == max(filter(math.isfinite, norms))
    assert not (math.isfinite(norms[-1]) and math.isfinite(record.metrics["train/loss"][-1][1]))
    assert told["grad/clipped_fraction"] == 0


def test_its_record_has_them_once(exploded: Outcome) -> None:
    record = load_run(Path(exploded.folder)).metrics
    assert {key: record[key][-1][1] for key in exploded.metrics} == exploded.metrics
    assert_steps_are_told_once(record)


def assert_steps_are_told_once(record: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    for key, series in record.items():
        steps = [step for step, _ in series]
        assert steps == sorted(set(steps)), key


def test_so_has_that_of_a_stopped_run_which_goes_on(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals = iter([0] * 20 + [15])  # the twentieth step has a share of clipped ones on record
    monkeypatch.setattr(StopOnSignal, "_heard", lambda *_: next(signals, 0))
    words = (*WORDS, "optimizer.lr=0.01", "trainer.max_steps=40", "task.val_batches=1")
    words += ("trainer.val_every=10",)
    prepare([])
    plan = check_jobs(words, multirun=False, config_dir=None)[0].plan
    journals = Journals("sqlite:///no.db", None)
    with pytest.raises(Stopped):
        run(plan, workdir, journals, StopRequest(), tags={}, parent="a-sweep")
    stopped = Outcome.read(workdir / "summary.json")
    assert times_sent(workdir, "checkpoints/best.ckpt") == 1
    origin = Origin(workdir / "checkpoints" / LAST, folder=workdir)
    done = run(plan, workdir, journals, StopRequest(), tags={}, origin=origin, parent="a-sweep")
    record = load_run(workdir).metrics
    for key in stopped.metrics:
        assert record[key][-1] == (40, done.metrics[key])
    assert [step for step, _ in record["cliffs/count"]] == [40], "as one that was left alone"
    assert_steps_are_told_once(record)
    assert times_sent(workdir, "checkpoints/best.ckpt") == 2


def times_sent(folder: Path, file: str) -> int:
    return [record.get("path") for record in read_all(folder / "journal.jsonl")].count(file)


def test_its_description_counts_its_cliffs(exploded: Outcome) -> None:
    count = int(exploded.metrics["cliffs/count"])
    note = load_run(Path(exploded.folder)).tags[NOTE]
    assert f"Gradient cliffs: {count}, the largest " in note


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({}, ""),
        ({"cliffs/count": 0.0}, "Gradient cliffs: 0."),
        ({"cliffs/count": 1.0}, "Gradient cliffs: 1."),
        (
            {"cliffs/count": 2.0, "cliffs/largest": 12.345, "cliffs/largest_step": 7.0},
            "Gradient cliffs: 2, the largest 12.3 at step 7.",
        ),
    ],
)
def test_what_is_not_known_is_not_said(metrics: dict[str, float], said: str) -> None:
    text = describe_outcome(Outcome("a", "b", "FAILED", {"seed": "0"}, metrics, error="it broke"))
    assert text == "\n\n".join(filter(None, ["**FAILED**  it broke", said, "`seed=0`"]))


def test_its_description_ends_with_the_settings_and_what_was_varied() -> None:
    config = {"cell.name": "elman", "optimizer.lr": "0.5", "seed": "0"}
    asked = ["cell=elman", "optimizer.lr=0.5", "cell.nonlinearity=relu", "sweep.name=wild"]
    metrics = {"test/loss": 0.25, "cliffs/count": 0.0}
    text = describe_outcome(Outcome("a", "b", "FINISHED", config, metrics), asked)
    assert text.split("\n\n") == [
        "**FINISHED**",
        "Gradient cliffs: 0.",
        "test/loss 0.25",
        "`cell.name=elman optimizer.lr=0.5 seed=0 cell.nonlinearity=relu`",
    ]


def test_a_run_without_a_step_has_no_largest_norm() -> None:
    assert set(StepMonitor(NonFiniteGuard("raise")).summary()) == {"grad/skipped", "grad/rollbacks"}
