"""A check of many jobs says how far it is."""

from pathlib import Path

import pytest

from rnnexp.app.config import compose, told


@pytest.mark.parametrize(("silent", "said"), [(0.0, ["0", "1", "2"]), (60.0, [])])
def test_it_is_said_where_it_takes_long(
    workdir: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    silent: float,
    said: list[str],
) -> None:
    monkeypatch.setattr(told, "SILENT_SECONDS", silent)
    words = ["seed=0,1,2"]
    compose.prepare(words)
    assert len(compose.check_jobs(words, multirun=True, config_dir=None)) == 3
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"rnnexp: {done} of 3 jobs checked" for done in said]
