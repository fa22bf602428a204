"""How long a command waits for its store: `tracking.wait` in all, and not without a word."""

import time
from pathlib import Path

import pytest

from rnnexp.app.run import patience
from rnnexp.app.run.patience import Patience
from rnnexp.app.run.stopped import deliver_rest
from rnnexp.tracking import Tracking

URI = "http://127.0.0.1:1"


def test_all_waits_of_a_command_share_its_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def close(self: Tracking, timeout: float) -> list[Path]:
        asked.append(timeout)
        return []

    monkeypatch.setattr(Tracking, "close", close)
    patient = Patience(URI, 0.3)
    with patient.waiting() as seconds:
        time.sleep(seconds)
    deliver_rest(Tracking(URI, None), patient)
    assert asked == [0.0]


def test_a_signal_shortens_what_is_left() -> None:
    patient = Patience(URI, 60.0)
    patient.shorten()
    with patient.waiting() as seconds:
        assert seconds == 5.0


@pytest.mark.parametrize(
    ("waits", "lines"), [([0.2], 1), ([0.06, 0.06], 1), ([0.2, 0.2], 1), ([0.0, 0.0], 0)]
)
def test_a_long_wait_is_announced_once(
    waits: list[float],
    lines: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(patience, "SILENT_SECONDS", 0.1)
    patient = Patience(URI, 60.0)
    for seconds in waits:
        with patient.waiting():
            time.sleep(seconds)
    said = capsys.readouterr().err
    assert said.count(f"waiting for {URI} to take the record, 60 s at most") == lines
    assert said.count("Ctrl-C leaves the rest to rnnexp sync.") == lines


def test_what_the_store_answers_is_told_while_it_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(patience, "SILENT_SECONDS", 0.1)
    with Patience(URI, 60.0, lambda: "NotADirectoryError: '/old/outputs'").waiting():
        time.sleep(0.2)
    assert "sync. Its last answer: NotADirectoryError: '/old/outputs'\n" in capsys.readouterr().err


def test_a_command_that_is_not_to_wait_announces_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(patience, "SILENT_SECONDS", 0.01)
    with Patience(URI, 0.0).waiting() as seconds:
        time.sleep(0.05)
    assert seconds == 0.0
    assert capsys.readouterr().err == ""
