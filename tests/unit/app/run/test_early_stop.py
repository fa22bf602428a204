"""A run that was stopped early is over: killed before its end, it is tested, and trains no more."""

from pathlib import Path

import pytest
from pytorch_lightning import Trainer

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.run.fit import fit
from rnnexp.training.checkpoints import LAST, find_checkpoint
from rnnexp.training.interrupt import StopRequest

WORDS = ["task.length=8", "cell.hidden_size=4", "cell=elman", "task.val_batches=1", "clip=none"]
WORDS += ["optimizer=sgd", "optimizer.lr=1e-30", "trainer.max_steps=40", "trainer.val_every=5"]
WORDS += ["trainer.early_stop_after=1", "flush_denormal=false"]
STOPPED_AT = 10
"""The second validation is no better than the first: no weight moves."""


def trained(folder: Path, checkpoint: Path | None, *words: str) -> Trainer:
    plan = check_jobs([*WORDS, *words], multirun=False, config_dir=None)[0].plan
    return fit(plan, folder, None, StopRequest(), checkpoint).trainer


@pytest.fixture(scope="module")
def early(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was stopped early, as a kill leaves it just after."""
    prepare([])
    folder = tmp_path_factory.mktemp("early")
    assert trained(folder, None).global_step == STOPPED_AT
    return folder


def test_it_trains_no_more_however_often_it_goes_on(early: Path) -> None:
    for _ in range(2):
        checkpoint = find_checkpoint(early).path
        assert trained(early, checkpoint).global_step == STOPPED_AT


def test_elsewhere_it_goes_on_as_the_same_run(early: Path, tmp_path: Path) -> None:
    checkpoint = find_checkpoint(early).path
    assert trained(tmp_path, checkpoint, f"resume={early}").global_step == STOPPED_AT
    words = [f"resume={early}", "trainer.early_stop_after=2"]
    assert trained(tmp_path, checkpoint, *words).global_step == STOPPED_AT + 5


def test_a_figure_that_is_not_finite_is_no_improvement_and_no_more(tmp_path: Path) -> None:
    prepare([])
    words = ["optimizer.lr=1e38", "clip=norm", "trainer.val_every=1", "trainer.max_steps=9"]
    words += ["trainer.early_stop_after=3", "monitor.nonfinite=skip"]
    found = trained(tmp_path, None, *words)
    assert found.global_step == 3, "three that are none"


MORE = {
    "trainer.max_steps=50": 15,
    "trainer.early_stop_after=2": 15,
    "trainer.early_stop_after=3": 20,
}


@pytest.mark.parametrize("word", MORE)
def test_other_limits_have_it_go_on(early: Path, tmp_path: Path, word: str) -> None:
    own = tmp_path / "checkpoints" / LAST
    own.parent.mkdir()
    own.write_bytes((early / "checkpoints" / LAST).read_bytes())
    assert trained(tmp_path, own, word).global_step == MORE[word]


def test_a_new_run_from_its_weights_trains(early: Path, tmp_path: Path) -> None:
    checkpoint = early / "checkpoints" / LAST
    assert trained(tmp_path, checkpoint).global_step == 2 * STOPPED_AT, "it counts from its first"
