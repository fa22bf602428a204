import signal
from pathlib import Path

import pytest

from rnnexp.app.run.pictures import draw_run_pictures
from rnnexp.report import run_pictures
from rnnexp.tracking import RunHeader, RunLog
from rnnexp.training.interrupt import Stopped


def _recorded(folder: Path, layers: dict[str, list[float]]) -> None:
    log = RunLog(folder, RunHeader("n", "e", {}, {}), "sqlite:///x.db", None)
    log.metrics({"grad/raw_norm": 1.0}, 1)
    log.profile(layers, 1)
    log.end("FINISHED")


def test_what_cannot_be_drawn_costs_no_other_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _recorded(tmp_path, {"layer0": [float("nan")] * 3, "layer1": [0.1, 0.2, 0.3]})
    files = [file.name for file in draw_run_pictures(tmp_path, None)]
    assert files == ["norms.png", "norms.csv", "flow_layer1.png", "flow_layer1.csv"]
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"rnnexp: {tmp_path}/flow_layer0.png not drawn: grad_norm_NT: holds no norm that is finite."
    ]


def test_a_layer_that_no_gradient_reaches_is_drawn(tmp_path: Path) -> None:
    _recorded(tmp_path, {"layer0": [0.0] * 3, "layer1": [0.1, 0.2, 0.3]})
    assert tmp_path / "flow_layer0.png" in draw_run_pictures(tmp_path, None)


def test_a_run_without_record_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert draw_run_pictures(tmp_path, None) == []
    assert f"pictures of {tmp_path} not drawn: " in capsys.readouterr().err


def test_a_signal_ends_the_drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise Stopped(signal.SIGINT)

    _recorded(tmp_path, {})
    monkeypatch.setattr(run_pictures, "draw_norms", stopped)
    with pytest.raises(Stopped):
        draw_run_pictures(tmp_path, None)
