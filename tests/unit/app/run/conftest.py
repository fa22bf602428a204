"""A finished run, to go on with."""

import shutil
from pathlib import Path

import pytest
import yaml

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.run.run import run
from rnnexp.tracking import Journals
from rnnexp.training.interrupt import StopRequest

from .earlier_run import WORDS


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, as ``rnnexp train`` leaves it."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    prepare([])
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(WORDS))
    plan = check_jobs(WORDS, multirun=False, config_dir=None)[0].plan
    outcome = run(plan, folder, Journals("sqlite:///no.db", None), StopRequest(), tags={})
    assert outcome.status == "FINISHED", outcome.error
    return folder


@pytest.fixture
def earlier(finished: Path, workdir: Path) -> Path:
    """A copy of it, in the working folder."""
    return Path(shutil.copytree(finished, workdir / "run"))
