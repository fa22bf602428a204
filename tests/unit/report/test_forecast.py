import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from rnnexp.report.forecast import PANELS, draw_forecast
from rnnexp.report.run_pictures import drawings_of
from rnnexp.tracking import RunHeader, RunLog


def written(folder: Path, text: str) -> Path:
    file = folder / "forecast.csv"
    file.write_text(text)
    return file


def test_a_forecast_is_drawn_from_where_it_begins(tmp_path: Path, kept: list[Figure]) -> None:
    log = RunLog(tmp_path, RunHeader("the run", "e", {}, {}), "sqlite:///x.db", None)
    log.end("FINISHED")
    head = "step,z,z (one step ahead),z (forecast)\n"
    written(tmp_path, f"{head}-1,1,1.1,\n0,2,2.1,\n1,3,3.1,2.9\n2,4,4.1,3\n")
    assert drawings_of(tmp_path)["forecast.png"]() == [tmp_path / "forecast.png"]
    [axes] = kept[0].axes
    lines = {str(line.get_label()): np.asarray(line.get_ydata()) for line in axes.lines}
    assert lines["measured"].tolist() == [1, 2, 3, 4]
    assert lines["one step ahead, teacher-forced"].tolist() == [1.1, 2.1, 3.1, 4.1]
    assert lines["forecast, free-running"][2:].tolist() == [2.9, 3]
    [begin] = axes.collections
    assert begin.get_paths()[0].vertices[:, 0].tolist() == [0.5, 0.5]
    assert kept[0].get_suptitle() == "the run"


def test_what_is_predicted_one_step_ahead_is_drawn_alone(
    tmp_path: Path, kept: list[Figure]
) -> None:
    rows = "step,z,z (one step ahead)\n0,2,2.1\n1,3,3.1\n"
    draw_forecast(written(tmp_path, rows), tmp_path / "f.png")
    [axes] = kept[0].axes
    assert [len(axes.lines), len(axes.collections)] == [2, 0]
    assert axes.get_xlabel() == "time step"


def test_a_run_without_forecast_has_no_such_picture(tmp_path: Path) -> None:
    RunLog(tmp_path, RunHeader("n", "e", {}, {}), "sqlite:///x.db", None).end("FINISHED")
    assert drawings_of(tmp_path) == {}


def test_a_wide_table_is_drawn_in_part_which_is_said(tmp_path: Path, kept: list[Figure]) -> None:
    names = [f"c{i}" for i in range(PANELS + 3)]
    head = ",".join(["step", *(f"{name} (forecast)" for name in names)])
    draw_forecast(
        written(tmp_path, f"{head}\n1{',5' * len(names)}\n"), tmp_path / "f.png", title="t"
    )
    assert [axes.get_title("left") for axes in kept[0].axes] == names[:PANELS]
    assert kept[0].get_suptitle() == f"t  {PANELS} of {PANELS + 3} series"
    assert kept[0].axes[0].lines[0].get_marker() == ".", "one point is no line"


@pytest.mark.parametrize("diverged", [1e30, math.inf, math.nan])
def test_what_was_measured_is_seen_beside_a_forecast_that_diverges(
    tmp_path: Path, kept: list[Figure], diverged: float
) -> None:
    rows = "".join(f"{t},{t % 3},{diverged}\n" for t in range(9))
    draw_forecast(written(tmp_path, f"step,z,z (forecast)\n{rows}"), tmp_path / "f.png")
    low, high = kept[0].axes[0].get_ylim()
    assert -1 < low < 0
    assert 2 < high < 4


@pytest.mark.parametrize("text", ["step,z\n1,2\n", "z,z (forecast)\n1,2\n"])
def test_a_file_without_forecast_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="needs the columns 'step' and 'NAME \\(forecast\\)'"):
        draw_forecast(written(tmp_path, text), tmp_path / "f.png")
