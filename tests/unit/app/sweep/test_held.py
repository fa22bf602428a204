"""A sweep whose folder was copied or renamed: whose runs in the store are they?"""

import shutil
from pathlib import Path

import pytest

from rnnexp.app.jobs.folder import SWEEPS
from rnnexp.app.sweep.held import take
from rnnexp.errors import ConfigError
from rnnexp.tracking import key_of

from .test_several_commands import command


def test_a_copy_is_refused(workdir: Path) -> None:
    command("0")
    shutil.copytree(SWEEPS / "mine", SWEEPS / "copy")
    before = sorted((SWEEPS / "copy").rglob("*"))
    with pytest.raises(ConfigError, match=r"sweeps/copy is a copy of the sweep mine.*name=mine to"):
        take(SWEEPS / "copy")
    assert sorted((SWEEPS / "copy").rglob("*")) == before
    command("0,1")


def test_one_that_was_renamed_goes_on(workdir: Path) -> None:
    key = key_of(command("0").folder)
    (SWEEPS / "mine").rename(SWEEPS / "other")
    command("0")  # another of the name that it had
    take(SWEEPS / "other").release()
    assert key_of(SWEEPS / "other") == key
