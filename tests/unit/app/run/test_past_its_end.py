"""A run that is to end before where it goes on is refused, and stays as it was."""

from pathlib import Path

import pytest

from rnnexp.__main__ import run as command
from rnnexp.app.config.compose import check_jobs
from rnnexp.app.run.going_on import check_resumes
from rnnexp.app.run.resume import with_earlier_overrides

from .earlier_run import finished_run

WORDS = ["task.length=8", "task.val_batches=1", "task.test_batches=1", "task.train_batches=2"]
WORDS += ["cell=elman", "cell.hidden_size=4", "trainer.max_steps=5", "trainer.progress=none"]
WORDS += ["monitor.pictures=never", "tracking.wait=0", "flush_denormal=false"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of five steps, which is amid its third epoch."""
    return finished_run(tmp_path_factory.mktemp("finished") / "run", WORDS)


@pytest.mark.parametrize("given", ["run", "run/checkpoints/last.ckpt"])
@pytest.mark.parametrize(("word", "done"), [("max_steps=4", 5), ("max_epochs=1", 2)])
def test_what_is_past_its_end_is_refused(
    earlier: Path, given: str, word: str, done: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (earlier / "journal.jsonl").read_bytes(), (earlier / "summary.json").read_bytes()
    more = WORDS if given != "run" else []
    assert command(["train", *more, f"resume={given}", f"trainer.{word}"]) == 2
    said = capsys.readouterr().err
    key = word.partition("=")[0]
    assert f"resume={given}: trainer.{word}, and {done} are done already. Give trainer." in said
    assert f"trainer.{key}={done + 1} or more." in said
    assert before == (
        (earlier / "journal.jsonl").read_bytes(),
        (earlier / "summary.json").read_bytes(),
    )


@pytest.mark.parametrize("word", ["max_steps=5", "max_epochs=3", "max_epochs=2"])
def test_what_may_go_on_passes(earlier: Path, word: str) -> None:
    words = with_earlier_overrides(["resume=run", f"trainer.{word}"])
    jobs = check_jobs(words, multirun=False, config_dir=None)
    check_resumes([job.plan for job in jobs], multirun=False)
