"""A sweep whose folder was copied or renamed: whose runs in the store are they?"""

import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.jobs import lease
from rnnexp.app.jobs.folder import SWEEPS
from rnnexp.app.sweep import session
from rnnexp.app.sweep.held import take
from rnnexp.app.sweep.items import Item
from rnnexp.errors import ConfigError
from rnnexp.tracking import key_of

from ....unforwarded import Unforwarded
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


def test_it_gives_signs_of_life_while_its_jobs_are_frozen(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.0)
    monkeypatch.setattr(session, "Tracking", lambda uri, root, courier: Unforwarded(uri, root))
    words = ["seed=0,1,2", "sweep.name=mine"]
    prepare(words)
    mine = session.Session(["rnnexp"], check_jobs(words, True, None), words, multirun=True)
    sweep, beats = mine.sweep, list[float]()
    assert sweep is not None

    def frozen(item: Item, threads: int) -> None:
        holder = lease.holder_of(SWEEPS / "mine")
        assert holder is not None
        beats.append(holder.beat)

    monkeypatch.setattr(sweep, "freeze", frozen)
    mine.sweep_tasks([], 0, OmegaConf.create({"hydra": {"launcher": {"threads": 1}}}))
    assert len(set(beats)) == 3
    sweep.close(stopped=True)
