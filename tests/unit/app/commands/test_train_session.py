"""What ``rnnexp train`` makes of a command line, before anything of it runs."""

import pytest

from rnnexp.__main__ import run
from rnnexp.app.sweep.session import Session


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """The sessions that commands would run."""
    made: list[Session] = []

    def keep(session: Session, argv: list[str]) -> int:
        made.append(session)
        return 0

    monkeypatch.setattr("rnnexp.app.commands.training._run", keep)
    return made


@pytest.mark.parametrize(
    ("words", "is_sweep"),
    [("seed=0", False), ("-m seed=0", True), ("hydra.mode=MULTIRUN seed=0", True)],
)
def test_a_sweep_may_have_one_job(
    workdir: object, sessions: list[Session], words: str, is_sweep: bool
) -> None:
    assert run(["train", *words.split()]) == 0
    assert (sessions[0].sweep is not None) == is_sweep
