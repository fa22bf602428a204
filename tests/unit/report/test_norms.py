import csv
import math
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from rnnexp.report.flow_map import draw_flow_map
from rnnexp.report.norms import draw_norms
from rnnexp.report.run_pictures import drawings_of
from rnnexp.tracking import RunHeader, RunLog

BLUE = np.array([0x56, 0xB4, 0xE9]) / 255


def noisy(steps: int) -> list[tuple[int, float]]:
    rng = np.random.default_rng(0)
    return [(step, float(norm)) for step, norm in enumerate(np.exp(rng.normal(0, 0.3, steps)))]


def highest_blue(file: Path) -> float:
    """Where the raw curve reaches highest: 0 at the picture's upper edge, 1 at the lower."""
    pixels = matplotlib.image.imread(file)[..., :3]
    body = pixels[70:]  # below title and legend
    rows = np.flatnonzero((np.abs(body - BLUE).max(-1) < 0.02).any(1))
    return (rows[0] + 70) / len(pixels)


def test_a_spike_of_one_step_among_ten_thousand_is_seen(tmp_path: Path) -> None:
    raw = noisy(10_000)
    raw[7777] = (7777, 1e4)
    calm = noisy(10_000)
    calm[7776:7779] = [(step, 1e4) for step in (7776, 7777, 7778)]  # the same scale
    draw_norms(raw, [], tmp_path / "one.png")
    draw_norms(calm, [], tmp_path / "three.png")
    assert highest_blue(tmp_path / "one.png") < 0.25
    assert abs(highest_blue(tmp_path / "one.png") - highest_blue(tmp_path / "three.png")) < 0.01


def test_numbers_stand_beside_the_picture(tmp_path: Path) -> None:
    raw = [(1, 2.0), (2, math.inf), (3, 40.0)]
    clipped = [(1, 1.0), (3, 1.0)]
    cliffs = [(2, math.inf), (3, 40.0)]
    files = draw_norms(raw, clipped, tmp_path / "n.png", threshold=1.0, cliffs=cliffs)
    assert files == [tmp_path / "n.png", tmp_path / "n.csv"]
    with files[1].open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    assert [float(row["raw_norm"]) for row in rows] == [2.0, math.inf, 40.0]
    assert [row["clipped_norm"] for row in rows] == ["1.0", "", "1.0"]
    assert [row["cliff"] for row in rows] == ["0", "1", "1"]


def test_a_cliff_is_marked(tmp_path: Path) -> None:
    raw = noisy(200)
    draw_norms(raw, raw, tmp_path / "without.png")
    draw_norms(raw, raw, tmp_path / "with.png", cliffs=[(100, 1.0)])
    vermillion = np.array([0xD5, 0x5E, 0x00]) / 255
    counts = [
        int((np.abs(matplotlib.image.imread(file)[..., :3] - vermillion).max(-1) < 0.02).sum())
        for file in (tmp_path / "without.png", tmp_path / "with.png")
    ]
    assert counts[0] == 0
    assert counts[1] > 20


def test_nothing_to_draw_is_an_empty_picture(tmp_path: Path) -> None:
    files = draw_norms([(1, math.nan), (2, 0.0)], [], tmp_path / "n.png")
    assert all(file.stat().st_size > 0 for file in files)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_short_run_is_ticked_at_whole_steps(
    tmp_path: Path, kept: list[Figure], steps: int
) -> None:
    norms = [(step + 1, 1.0 + step) for step in range(steps)]
    draw_norms(norms, norms, tmp_path / "n.png")
    draw_flow_map([step for step, _ in norms], np.ones((steps, 2)), tmp_path / "f.png")
    assert kept[0].axes[0].lines[0].get_marker() == ("o" if steps == 1 else "")
    for axis in (kept[0].axes[0].xaxis, kept[1].axes[0].xaxis, kept[1].axes[0].yaxis):
        ticks = axis.get_majorticklocs()
        assert len(ticks)
        assert all(tick == round(tick) for tick in ticks)


def test_what_the_picture_shows_stands_in_its_legend(tmp_path: Path, kept: list[Figure]) -> None:
    draw_norms(noisy(10_000), noisy(10_000), tmp_path / "long.png")
    draw_norms(noisy(500), noisy(500), tmp_path / "short.png")
    words = [figure.axes[0].get_legend().get_texts() for figure in kept]
    whole = "raw (nothing was clipped)"
    assert [[text.get_text() for text in texts] for texts in words] == [
        [whole, "range of 20 steps"],
        [whole],
    ]


def test_the_step_that_a_run_failed_at_is_marked(tmp_path: Path, kept: list[Figure]) -> None:
    log = RunLog(tmp_path, RunHeader("n", "e", {}, {}), "sqlite:///x.db", None)
    for step in (1, 2, 3):
        log.metrics({"grad/raw_norm": 1.0 * step}, step)
    log.metrics({"grad/cliff": 3.0}, 3)
    log.end("FAILED")
    events = ['{"step": 3, "kind": "spike"}', '{"step": 4, "kind": "nonfinite"}', '{"step": 5, "k']
    (tmp_path / "cliffs.jsonl").write_text("\n".join(events))
    drawings_of(tmp_path)["norms.png"]()
    marked = {line.get_label(): list(line.get_xdata()) for line in kept[0].axes[0].lines}
    assert marked["not finite (1)"] == [4]
    assert marked["cliff (1)"] == [3]


def test_the_flow_of_a_cliff_is_that_of_its_event_for_its_layer(tmp_path: Path) -> None:
    log = RunLog(tmp_path, RunHeader("n", "e", {}, {}), "sqlite:///x.db", None)
    for step in (1, 11):
        log.profile({"layer0": [0.1, 0.2, 0.3], "layer1": [0.4, 0.5, 0.6]}, step)
    for step in (3, 4, 11):
        log.metrics({"grad/cliff": 9.0}, step)
    log.end("FINISHED")
    profile = '"begin": 1, "cell": "layer1", "grad_norm_T"'
    events = [f'{{"step": 3, {profile}: ["NaN", 7.0]}}', f'{{"step": 4, {profile}: [1, 1, 1]}}']
    (tmp_path / "cliffs.jsonl").write_text("\n".join(events) + "\n")
    flows = {name: draw()[1].read_text() for name, draw in drawings_of(tmp_path).items()}
    unknown = "4,nan,nan,nan"  # longer than the records: another window than theirs
    assert flows["flow_layer1.png"].split()[1:] == [
        *("1,0.4,0.5,0.6", "3,nan,nan,7.0", unknown, "11,0.4,0.5,0.6")
    ]
    assert flows["flow_layer0.png"].split()[2] == "3,nan,nan,nan", "its event is of the other layer"


def test_steps_whose_norm_is_not_finite_are_marked_and_none_is_called_clipped(
    tmp_path: Path, kept: list[Figure]
) -> None:
    raw = [(1, 2.0), (2, 3.0), *((step, math.nan) for step in range(3, 8)), (8, 0.0)]
    skipped = [(step, 0.0 if math.isnan(norm) else norm) for step, norm in raw]
    for clipped in (raw, skipped):
        draw_norms(raw, clipped, tmp_path / "n.png", cliffs=[(3, math.nan)])
    for figure in kept:
        lines = {line.get_label(): list(line.get_xdata()) for line in figure.axes[0].lines}
        assert lines == {"raw (nothing was clipped)": [1, 2], "not finite (5)": [3, 4, 5, 6, 7]}
        assert figure.axes[0].get_xlim()[1] >= 8
