import csv
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from rnnexp.errors import ConfigError
from rnnexp.report.cliff_picture import draw_cliff_surface
from rnnexp.tracking import RunHeader, RunLog
from rnnexp.tracking.outcome import Outcome

CONFIG = {"task.length": "50", "cell.x0": "0.5", "task.target": "0.7"}


def run_of(folder: Path, w: list[float], b: list[float], **config: str) -> Outcome:
    log = RunLog(folder, RunHeader("n", "e", {}, {}), "sqlite:///x.db", None)
    for step, (w_now, b_now) in enumerate(zip(w, b, strict=True)):
        values = {"param/layer0.weight_hh": w_now, "param/layer0.bias_hh": b_now}
        log.metrics(values, step)
    log.end("FINISHED")
    return Outcome(folder.name, str(folder), "FINISHED", {**CONFIG, **config}, {}, 1.0, None, None)


def test_draws_and_keeps_the_numbers(tmp_path: Path) -> None:
    runs = [
        run_of(tmp_path / "a", [5.0, 4.9, 90.0], [-2.5, -2.4, 50.0], **{"clip.by": "none"}),
        run_of(tmp_path / "b", [5.0, 4.9, 4.8], [-2.5, -2.4, -2.3], **{"clip.by": "norm"}),
    ]
    picture, wall, paths = draw_cliff_surface(runs, tmp_path)
    assert picture.stat().st_size > 50_000
    numbers = json.loads(wall.read_text())
    assert numbers["unit"] == {"steps": 50, "x0": 0.5, "target": 0.7}
    assert max(numbers["wall"]["slope"]) > 1000
    assert np.interp(5.0, numbers["wall"]["w"], numbers["wall"]["b"]) == pytest.approx(
        -2.6123, abs=2e-3
    )
    with paths.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["run"] for row in rows] == ["clip=none"] * 3 + ["clip=norm"] * 3
    assert float(rows[2]["w"]) == 90.0  # a path that leaves the picture is whole in the numbers
    assert [row["step"] for row in rows[:3]] == ["1", "2", "3"], "that was made with the weights"


def test_refuses_a_run_without_the_two_weights(tmp_path: Path) -> None:
    run = run_of(tmp_path / "a", [], [])
    with pytest.raises(ConfigError, match="no run of cell=one_unit"):
        draw_cliff_surface([run], tmp_path)


def test_refuses_another_cell(tmp_path: Path) -> None:
    run = run_of(tmp_path / "a", [5.0], [-2.5])
    del run.config["cell.x0"]
    with pytest.raises(ConfigError, match=r"cell\.x0"):
        draw_cliff_surface([run], tmp_path)


def test_long_names_are_short_in_the_picture_and_whole_in_the_numbers(
    tmp_path: Path, kept: list[Figure]
) -> None:
    folder = "/home/me/" + "a folder/" * 12
    runs = [
        run_of(
            tmp_path / word, [5, 4.9, 4], [-2.5, -2.4, 0], **{"task.path": f"{folder}{word}.csv"}
        )
        for word in ("north", "south")
    ]
    *_, paths = draw_cliff_surface(runs, tmp_path)
    (legend,) = kept[0].legends
    names = [text.get_text() for text in legend.get_texts()[-2:]]
    assert names == ["task.path=…north.csv", "task.path=…south.csv"]
    kept[0].draw_without_rendering()
    covered = [
        axes for axes in kept[0].axes if axes.get_tightbbox().overlaps(legend.get_window_extent())
    ]
    assert covered == []
    for axes in kept[0].axes[-2:]:
        assert list(axes.lines[0].get_xdata()) == [1, 2], "no step was made with the last weights"
    assert f"task.path={folder}north.csv" in paths.read_text()
