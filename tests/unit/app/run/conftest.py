"""A finished run, to go on with."""

import shutil
from pathlib import Path

import pytest

from .earlier_run import WORDS, finished_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, as ``rnnexp train`` leaves it."""
    return finished_run(tmp_path_factory.mktemp("finished") / "run", WORDS)


@pytest.fixture
def earlier(finished: Path, workdir: Path) -> Path:
    """A copy of it, in the working folder."""
    return Path(shutil.copytree(finished, workdir / "run"))
