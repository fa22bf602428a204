"""``rnnexp sweep retry`` starts the very sweep that it names."""

from pathlib import Path
from typing import Any

import pytest

from rnnexp.__main__ import run
from rnnexp.app.config.overrides import parse
from rnnexp.app.jobs.folder import SWEEPS
from rnnexp.app.sweep.sweep import DEFINITION
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


def define(name: str, **more: Any) -> None:
    (SWEEPS / name).mkdir(parents=True)
    definition = {"name": name, "overrides": ["seed=0,1", "sweep.name=x"], "jobs": [], **more}
    write_json(SWEEPS / name / DEFINITION, definition)


@pytest.mark.parametrize("name", ["mine", "a (b)", "größe, 2", "007"])
def test_a_sweep_of_any_name_is_retried(workdir: Path, started: list[list[str]], name: str) -> None:
    define(name)
    assert run(["sweep", "retry", name]) == 0
    ((multirun, *overrides),) = started
    assert multirun == "-m"
    given = {o.key_or_group: o.value() for o in parse(overrides) if not o.is_sweep_override()}
    assert given == {"sweep.name": name, "sweep.retry_failed": True}
