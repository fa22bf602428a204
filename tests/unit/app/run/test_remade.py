"""A step that is made again is the one on record, or it is refused."""

import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.run.rebuild import rebuild
from rnnexp.app.run.remade import check_remade, first_weights
from rnnexp.app.run.resume import Origin, locate, origin_of
from rnnexp.app.run.run import run
from rnnexp.errors import ConfigError
from rnnexp.tracking import Journals, RunRecord, load_run
from rnnexp.tracking.read_back import Part
from rnnexp.training.checkpoints import BEFORE_CLIFF, steps_done
from rnnexp.training.interrupt import StopRequest

WORDS = ["task=copy_memory", "task.length=5", "task.copied=3", "cell=elman", "cell.hidden_size=4"]
WORDS += ["task.val_batches=1", "task.test_batches=1", "task.batch_size=8", "tracking.wait=0"]
WORDS += ["optimizer=sgd", "optimizer.lr=2", "trainer.val_every=3", "trainer.progress=none"]
WORDS += ["monitor.pictures=never", "monitor.flow_every=null", "flush_denormal=false"]
FILE = Path("checkpoints", "last.ckpt")


def trained(folder: Path, *words: str, origin: Origin | None = None) -> Path:
    prepare([])
    plan = check_jobs([*WORDS, *words], multirun=False, config_dir=None)[0].plan
    tracking = Journals("sqlite:///no.db", None)
    outcome = run(plan, folder, tracking, StopRequest(), tags={}, origin=origin)
    assert outcome.status == "FINISHED", outcome.error
    return folder


def check_made_again(folder: Path, *steps: int) -> None:
    losses = dict(load_run(folder).metrics["train/loss"])
    for step in steps:
        assert rebuild(folder, step).loss == losses[step]


@pytest.mark.parametrize("word", ["clip.max_norm=0.05", "trainer.accumulate=2"])
def test_a_step_of_an_earlier_config_is_refused(tmp_path: Path, word: str) -> None:
    folder = trained(tmp_path / "run", "trainer.max_steps=4", "clip=norm", "clip.max_norm=9")
    trained(folder, "trainer.max_steps=8", "clip=norm", word, origin=locate(str(folder)))
    known = dict(load_run(folder).metrics["train/loss"])[4]
    with pytest.raises(ConfigError, match="Step 4 cannot be made again: its train/loss") as refused:
        rebuild(folder, 4)
    assert f"and {known:.6g} is on record." in str(refused.value)
    assert "resumed with another clip.max_norm" in str(refused.value)
    check_made_again(folder, 8)  # from a checkpoint of the new config


def test_more_steps_are_no_other_config(tmp_path: Path) -> None:
    folder = trained(tmp_path / "run", "trainer.max_steps=4")
    trained(folder, "trainer.max_steps=8", origin=locate(str(folder)))
    check_made_again(folder, 1, 4, 6, 8)


def test_the_step_of_the_largest_cliff_is_made_again_from_just_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(monotonic=count(0, 10).__next__)  # each validation has its checkpoint
    monkeypatch.setattr("rnnexp.training.resume.time", clock)
    sensitive = ["monitor.cliff_ratio=1.01", "monitor.cliff_deviations=0.1"]
    folder = trained(tmp_path / "run", "trainer.max_steps=60", *sensitive)
    step = int(load_run(folder).metrics["cliffs/largest_step"][-1][1])
    assert step < 54, "the last two checkpoints would do"
    before = steps_done(folder / "checkpoints" / BEFORE_CLIFF)
    assert before is not None
    assert step - 4 < before < step  # a validation every three steps
    check_made_again(folder, step)


@pytest.fixture
def from_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that began with the weights of another, named by a relative path."""
    first = trained(tmp_path / "first", "trainer.max_steps=4", "seed=1")
    monkeypatch.chdir(first)
    folder = trained(tmp_path / "run", "trainer.max_steps=8", "seed=2", origin=Origin(FILE))
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_run_that_began_with_a_file_begins_with_it_again(from_file: Path) -> None:
    check_made_again(from_file, 5, 6, 8)
    with pytest.raises(ConfigError, match=r"run has steps 5 to 8, not 4\.$"):
        rebuild(from_file, 4)
    trained(from_file, "trainer.max_steps=9", "seed=2", origin=locate(str(from_file)))
    check_made_again(from_file, 5, 9)


def test_a_part_of_it_without_a_checkpoint_begins_with_the_file_again(from_file: Path) -> None:
    file = from_file.parent / "first" / FILE
    assert first_weights(from_file) == file
    assert first_weights(file.parent.parent) is None
    own = from_file / FILE
    origin = origin_of(str(file), from_file, own=True)
    assert origin == Origin(own, folder=from_file), "it has gone on since"
    shutil.rmtree(own.parent)
    assert origin_of(str(file), from_file, own=True) == Origin(file, folder=from_file)
    file.unlink()
    with pytest.raises(ConfigError, match=r"The run began with .*, which is gone or damaged"):
        first_weights(from_file)


def test_a_file_that_is_another_since_is_refused(from_file: Path) -> None:
    first = from_file.parent / "first"
    trained(first, "trainer.max_steps=6", "seed=1", origin=locate(str(first)))
    with pytest.raises(ConfigError, match=r"The run began with .*, which is not there any"):
        rebuild(from_file, 5)
    trained(first, "trainer.max_steps=4", "seed=3")
    with pytest.raises(ConfigError, match=r"The run began with .*, which may hold other weights"):
        rebuild(from_file, 5)


RECORD = RunRecord(tags={"version.torch": "1.0"}, metrics={"train/loss": [(3, 2.0)]})


@pytest.mark.parametrize("made", [2.0, 2.001])
def test_rounding_is_no_difference(made: float) -> None:
    check_remade(RECORD, 3, {"train/loss": made})
    check_remade(RECORD, 4, {"train/loss": made})  # a step that ended its run has no figures


def test_another_figure_is_refused_with_what_else_is_other() -> None:
    with pytest.raises(ConfigError, match=r"Not the same: .*torch 1\.0 then"):
        check_remade(RECORD, 3, {"train/loss": 2.1})


def test_of_several_configs_a_small_difference_counts() -> None:
    parts = [Part({"clip.by": by}, {}) for by in ("none", "norm")]
    with pytest.raises(ConfigError, match=r"another clip\.by, and only its latest config"):
        check_remade(replace(RECORD, parts=parts), 3, {"train/loss": 2.001})


def test_what_is_not_finite_is_made_again_if_it_is_not_finite() -> None:
    record = replace(RECORD, metrics={"train/loss": [(3, float("nan"))]})
    check_remade(record, 3, {"train/loss": float("inf")})
    with pytest.raises(ConfigError, match="and nan is on record"):
        check_remade(record, 3, {"train/loss": 2.0})


def test_norms_of_older_records_were_infinite_or_zero_beyond_float32() -> None:
    norms = {"grad/raw_norm": [(3, float("inf")), (4, 0.0)]}
    record = replace(RECORD, metrics=norms)
    check_remade(record, 3, {"grad/raw_norm": 6e21})
    check_remade(record, 4, {"grad/raw_norm": 6e-25})
    for step in (3, 4):
        with pytest.raises(ConfigError, match="is on record"):
            check_remade(record, step, {"grad/raw_norm": 1e-9})
