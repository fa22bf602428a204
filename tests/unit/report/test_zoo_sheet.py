"""The sheet of many cells: what is drawn, and the numbers behind it."""

import csv
import math
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from rnnexp.report.zoo_sheet import LOWEST, Specimen, draw_sheet, specimen_of
from rnnexp.tracking import RunHeader
from rnnexp.tracking.service import RunLog


def test_a_specimen_is_read_from_its_run(tmp_path: Path) -> None:
    log = RunLog(tmp_path, RunHeader("a", "b", {}, {}), "sqlite:///x.db", None)
    log.profile({"layer0": [1e-3, 0.0, 1.0, 10.0]}, 1)
    log.profile({"layer0": [7.0, 7.0, 7.0, 7.0]}, 11)
    log.metrics({"val/loss": 0.5}, 50)
    log.metrics({"val/loss": 0.1}, 100)
    log.end("FINISHED")
    specimen = specimen_of("lstm", "lstm", tmp_path)
    assert specimen.flow_T == pytest.approx((-4.0, LOWEST, -1.0, 0.0))  # of the first profile
    assert list(specimen.losses) == [(50, 0.5), (100, 0.1)]


@pytest.mark.parametrize(
    ("norms", "flow"),
    [
        ([1.0, math.nan], ()),
        ([1.0, math.inf], ()),
        ([0.0, 0.0], ()),
        ([1.0, 10.0, 0.0], (-1.0, 0.0)),  # up to the last step that has a gradient
    ],
)
def test_a_flow_is_measured_by_the_last_step_that_has_one(
    tmp_path: Path, norms: list[float], flow: tuple[float, ...]
) -> None:
    log = RunLog(tmp_path, RunHeader("a", "b", {}, {}), "sqlite:///x.db", None)
    log.profile({"layer0": norms}, 1)
    log.metrics({"val/loss": 0.5}, 50)
    log.end("FINISHED")
    assert specimen_of("lstm", "lstm", tmp_path).flow_T == pytest.approx(flow)


def test_every_specimen_has_its_two_panels(tmp_path: Path) -> None:
    flow, losses = (-2.0, -1.0, 0.0), [(50, 0.1), (100, 0.01)]
    drawn = []
    for count in (1, 7):
        cells = [Specimen(f"cell{i}", "simple", flow, losses) for i in range(count)]
        png, numbers = draw_sheet(cells, 1 / 6, tmp_path / f"{count}.png")
        drawn.append((plt.imread(png)[..., :3] < 0.9).any(-1).sum())
        with numbers.open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        assert len(rows) == count * 5
        assert [float(r["value"]) for r in rows[:5]] == [-2.0, -1.0, 0.0, 0.1, 0.01]
    assert drawn[1] > 4 * drawn[0]
