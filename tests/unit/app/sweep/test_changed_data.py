"""A job whose data has changed since its sweep began."""

from pathlib import Path

import pytest

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.jobs.log import LOG
from rnnexp.app.sweep.sweep import Sweep
from rnnexp.app.sweep.worker import run_folder

from ....unforwarded import Unforwarded


def test_it_does_not_run_under_the_old_key(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("corpus.txt").write_text("abc " * 9000)
    words = ["task=char_lm", "task.path=corpus.txt", "seed=0,1"]
    prepare(words)
    jobs = check_jobs(words, multirun=True, config_dir=None)
    sweep = Sweep(jobs, words, Unforwarded("sqlite:///x.db", None), {})
    sweep.open()
    item = sweep.items[0]
    sweep.freeze(item, 1)
    Path("corpus.txt").write_text("abd " * 9000)
    code = run_folder(item.folder)
    assert code == 1
    assert "has changed since the sweep began" in capsys.readouterr().err
    (item.folder / LOG).write_text("Seed set to 0\nrnnexp: a file has changed\n")
    outcome = sweep.judge(item, f"exit code {code}", code)
    assert outcome.error == "its process ended early, exit code 1: a file has changed"
    assert (outcome.status, outcome.job) == ("FAILED", item.key)
    assert not (item.folder / "checkpoints").exists()
    sweep.close(stopped=False)
