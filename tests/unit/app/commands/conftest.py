"""What a command line is made into, without running it."""

import pytest

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
