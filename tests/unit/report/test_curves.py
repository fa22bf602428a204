import math
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from rnnexp.errors import StoreError
from rnnexp.report.curves import draw_curves
from rnnexp.report.load import Summary
from rnnexp.tracking import RunHeader, RunLog


def _run(folder: Path, metrics: dict[str, list[float]], **config: str) -> Summary:
    log = RunLog(folder, RunHeader("n", "e", {}, {}), "sqlite:///x.db", None)
    for key, values in metrics.items():
        for step, value in enumerate(values):
            log.metrics({key: value}, step)
    log.end("FINISHED")
    return Summary(folder.name, str(folder), "FINISHED", config, {}, 1.0, None, None)


def _pixels(file: Path) -> np.ndarray:
    return matplotlib.image.imread(file)[..., :3]


def _has_colour(pixels: np.ndarray, colour: str) -> bool:
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return bool((np.abs(pixels - wanted).max(-1) < 0.02).sum() > 50)


def test_curves_are_drawn_in_their_colours(tmp_path: Path) -> None:
    falling = [1 / (n + 1) for n in range(40)]
    runs = [
        _run(tmp_path / "a", {"val/loss": falling, "grad/raw_norm": falling}, seed="0"),
        _run(tmp_path / "b", {"val/loss": falling[::-1], "grad/raw_norm": falling}, seed="1"),
    ]
    draw_curves(runs, tmp_path / "p.png")
    pixels = _pixels(tmp_path / "p.png")
    assert pixels.std() > 0.05
    assert _has_colour(pixels, "#0072B2")
    assert _has_colour(pixels, "#D55E00")
    assert not _has_colour(pixels, "#009E73")


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"grad/raw_norm": [1.0, 2.0]},
        {"val/loss": [1.0]},
        {"val/loss": [math.nan, math.inf, 1.0], "grad/raw_norm": [math.nan, math.inf, 0.0]},
        {"val/loss": [0.0, 0.0], "grad/raw_norm": [0.0]},
        {"val/loss": [math.nan], "grad/raw_norm": [math.inf]},
    ],
    ids=["nothing", "norm only", "one point", "not finite", "zeros", "nothing finite"],
)
def test_any_metrics_can_be_drawn(tmp_path: Path, metrics: dict[str, list[float]]) -> None:
    draw_curves([_run(tmp_path / "a", metrics)], tmp_path / "p.png")
    assert _pixels(tmp_path / "p.png").std() > 0.01


def test_run_without_journal_is_said(tmp_path: Path) -> None:
    summary = Summary("n", str(tmp_path), "FINISHED", {}, {}, 1.0, None, None)
    with pytest.raises(StoreError, match="is no run"):
        draw_curves([summary], tmp_path / "p.png")
