"""``rnnexp sweep retry`` starts the very sweep that it names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rnnexp.__main__ import run
from rnnexp.app.commands import training
from rnnexp.app.config.overrides import parse
from rnnexp.app.jobs.folder import SWEEPS
from rnnexp.app.sweep.session import Session
from rnnexp.files import DEFINITION
from rnnexp.tracking.files import write_json


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The words of each ``rnnexp train`` that a command would start."""
    words: list[list[str]] = []

    def train(command: str, arguments: list[str]) -> int:
        words.append(arguments)
        return 0

    monkeypatch.setattr("rnnexp.app.commands.train.main", train)
    return words


def define(name: str, more: Mapping[str, Any] | None = None) -> None:
    (SWEEPS / name).mkdir(parents=True)
    definition = {
        "name": name,
        "overrides": ["seed=0,1", "sweep.name=x"],
        "jobs": [],
        **(more or {}),
    }
    write_json(SWEEPS / name / DEFINITION, definition)


@pytest.mark.parametrize("name", ["mine", "a (b)", "größe, 2", "007"])
def test_a_sweep_of_any_name_is_retried(workdir: Path, started: list[list[str]], name: str) -> None:
    define(name)
    assert run(["sweep", "retry", name]) == 0
    ((multirun, *overrides),) = started
    assert multirun == "-m"
    given = {o.key_or_group: o.value() for o in parse(overrides) if not o.is_sweep_override()}
    assert given == {"sweep.name": name, "sweep.retry_failed": True}


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("before", [[], ["-m", "seed=0,1"]])
def test_a_plan_has_a_help(flag: str, before: list[str], capsys: pytest.CaptureFixture) -> None:
    assert run(["sweep", "plan", *before, flag]) == 0
    assert "rnnexp sweep plan KEY=VALUE ..." in capsys.readouterr().out


def test_the_status_of_sweeps_needs_no_name(
    workdir: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit):
        run(["sweep", "status", "--help"])
    assert "usage: rnnexp sweep status [-h] [NAME]" in capsys.readouterr().out
    assert run(["sweep", "status"]) == 0
    assert capsys.readouterr().out.startswith(f"There is no sweep in {SWEEPS.resolve()}.")
    define("mine")
    assert run(["sweep", "status"]) == 0
    assert capsys.readouterr().out.startswith("mine: ")
    monkeypatch.setattr("rnnexp.app.commands.sweep.waiting", lambda folder: {"PartitionConfig": 1})
    assert run(["sweep", "status", "mine"]) == 0
    assert "1 job waits in the queue: PartitionConfig." in capsys.readouterr().out


PRESET = "# @package _global_\ncell:\n  hidden_size: 5\nsweep:\n  name: cd\n"


def test_a_sweep_with_configs_of_its_own_is_planned_and_retried(
    workdir: Path,
    started: list[list[str]],
    sessions: list[Session],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (workdir / "my conf" / "experiment").mkdir(parents=True)
    (workdir / "my conf" / "experiment" / "foo.yaml").write_text(PRESET)
    words = ["-m", "--config-dir", "my conf", "experiment=foo", "seed=0,1"]
    assert run(["sweep", "plan", *words]) == 0
    assert "cd: 2 to run" in capsys.readouterr().out
    assert run(["sweep", "plan", "seed=0,1", "--cfg", "job"]) == 2
    assert "it takes -m and --config-dir DIR" in capsys.readouterr().err
    assert training.train("train", words, None) == 0
    assert sessions[0].sweep is not None
    define("cd", sessions[0].sweep.definition())
    assert run(["sweep", "retry", "cd"]) == 0
    assert started[0][:3] == ["-m", "--config-dir", str(workdir / "my conf")]
