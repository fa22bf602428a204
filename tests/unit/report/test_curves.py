import math
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from rnnexp.errors import StoreError
from rnnexp.report.curves import COLOURS, draw_curves
from rnnexp.tracking import RunHeader, RunLog
from rnnexp.tracking.outcome import Outcome


def _run(folder: Path, metrics: dict[str, list[float]], cliff: int = 0, **config: str) -> Outcome:
    log = RunLog(folder, RunHeader("n", "e", {}, {}), "sqlite:///x.db", None)
    for key, values in metrics.items():
        for step, value in enumerate(values):
            log.metrics({key: value}, step)
    if cliff:
        log.metrics({"grad/cliff": metrics["grad/raw_norm"][cliff]}, cliff)
    log.end("FINISHED")
    return Outcome(folder.name, str(folder), "FINISHED", config, {}, 1.0, None, None)


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


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved, as they are then."""
    figures: list[Figure] = []
    save = Figure.savefig

    def kept(self: Figure, *given: Any, **named: Any) -> None:
        figures.append(self)
        save(self, *given, **named)

    monkeypatch.setattr(Figure, "savefig", kept)
    return figures


@pytest.mark.parametrize(
    ("feeds", "label"),
    [
        (("free", "scheduled"), "validation loss, free-running"),
        (("free", "teacher"), "validation loss"),
    ],
)
def test_runs_trained_on_their_own_outputs_are_drawn_running_free(
    tmp_path: Path, drawn: list[Figure], feeds: tuple[str, ...], label: str
) -> None:
    losses = {"val/loss": [1.0, 2.0], "val/loss_free": [3.0, 4.0]}
    draw_curves(
        [_run(tmp_path / feed, losses, **{"unroll.feed": feed}) for feed in feeds], tmp_path / "p"
    )
    above, below = drawn[0].axes
    assert above.get_ylabel() == label
    assert below.get_ylabel() == "raw gradient norm,\nlargest of each stretch of steps"
    wanted = losses["val/loss_free" if "free-running" in label else "val/loss"]
    assert list(above.lines[0].get_ydata()) == wanted


def test_seeds_share_a_colour_and_a_median(tmp_path: Path, drawn: list[Figure]) -> None:
    runs = [
        _run(tmp_path / f"{cell}{seed}", {"val/loss": values}, **{"cell.name": cell, "seed": seed})
        for cell in ("gru", "lstm")
        for seed, values in {"0": [1.0, 4.0], "1": [3.0, 5.0, 7.0], "2": [2.0, 9.0]}.items()
    ]
    draw_curves(runs, tmp_path / "p.png")
    above = drawn[0].axes[0]
    strong = [line for line in above.lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in strong] == ["gru (3 runs)", "lstm (3 runs)"]
    assert above.get_legend().get_title().get_text() == "cell"
    for line, colour in zip(strong, COLOURS, strict=False):
        # Of the third step one run of three is left.
        assert line.get_xydata().tolist() == [[0, 2.0], [1, 5.0]]
        assert sum(other.get_color() == colour for other in above.lines) == 1 + 3


def test_a_cliff_of_one_seed_is_as_high_as_it_was_and_is_marked(tmp_path: Path, drawn) -> None:
    norms = [[1.0] * 401, [1.0] * 400]
    norms[0][5], norms[1][8] = 7.0, 5.0
    runs = [
        _run(tmp_path / f"{i}{j}", {"grad/raw_norm": norms[j]}, cliff, **config)
        for i in "ab"
        for j, cliff in enumerate((5, 0))
        for config in [{"cell.name": i, "seed": str(j)}]
    ]
    draw_curves(runs, tmp_path / "p.png")
    below = drawn[0].axes[1]
    (line,) = (line for line in below.lines if line.get_label() == "a (2 runs)")
    assert line.get_xydata()[1:4].tolist() == [[3, 1.0], [6, 7.0], [9, 5.0]]
    assert line.get_xdata()[-1] == 400, "where the longer one ends, no step behind it"
    marks = [(mark.get_offsets().tolist(), mark.get_facecolor()) for mark in below.collections]
    assert [at for at, _ in marks] == [[[5, 7.0]]] * 2
    assert [to_hex(colour[0]).upper() for _, colour in marks] == list(COLOURS[:2])
    assert "(▼ cliff)" in below.get_ylabel()
    assert below.get_ylabel().endswith("and of all seeds")


def test_seeds_of_other_lengths_have_a_median_as_far_as_most_of_them_go(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    # Of windows of its own each would have points where the other has none.
    values = {"0": [1.0] * 950, "1": [100.0] * 575}
    runs = [
        _run(tmp_path / f"{cell}{seed}", {"val/loss": of, "grad/raw_norm": of}, **config)
        for cell in ("gru", "lstm")
        for seed, of in values.items()
        for config in [{"cell.name": cell, "seed": seed}]
    ]
    draw_curves(runs, tmp_path / "p.png")
    losses, norms = (
        next(line for line in axes.lines if line.get_label() == "gru (2 runs)")
        for axes in drawn[0].axes
    )
    assert set(losses.get_ydata()) == {50.5}
    assert losses.get_xdata()[-1] == 574
    assert len(losses.get_xdata()) >= 80
    # The largest is that of those that are left.
    assert [int(norm) for norm in norms.get_ydata()] == [100] * 83 + [1] * 54
    assert norms.get_xdata()[-1] == 949


def test_of_seeds_without_a_step_in_common_none_is_the_median(tmp_path: Path, drawn) -> None:
    validated = {"0": [1.0, math.nan], "1": [math.nan, 2.0]}
    runs = [
        _run(tmp_path / f"{cell}{seed}", {"val/loss": of}, **{"cell.name": cell, "seed": seed})
        for cell in ("gru", "lstm")
        for seed, of in validated.items()
    ]
    draw_curves(runs, tmp_path / "p.png")
    above = drawn[0].axes[0]
    assert [len(line.get_xdata()) for line in above.lines] == [1, 1, 0] * 2
    names = [text.get_text() for text in above.get_legend().texts]
    assert names == ["gru (2 runs)", "lstm (2 runs)"]


def test_a_series_of_one_point_has_a_marker(tmp_path: Path, drawn: list[Figure]) -> None:
    runs = [
        _run(tmp_path / "a", {"val/loss": [1.0], "grad/raw_norm": [1.0, 2.0]}, seed="0"),
        _run(tmp_path / "b", {"val/loss": [1.0, 2.0], "grad/raw_norm": [2.0]}, seed="1"),
    ]
    draw_curves(runs, tmp_path / "p.png")
    above, below = ([line.get_marker() for line in axes.lines] for axes in drawn[0].axes)
    assert (above, below) == (["o", ""], ["", "o"])


def test_every_run_has_a_name_and_a_mark_of_its_own(tmp_path: Path, drawn: list[Figure]) -> None:
    found = [{"val/loss": [1.0], "grad/raw_norm": [1.0]} for _ in range(8)]
    found[2] = {"grad/raw_norm": [1.0]}  # not validated
    found[3] = {"val/loss": [math.nan], "grad/raw_norm": [0.0]}
    names = ["_a", "b$5 to $6", *map(str, range(6))]
    draw_curves(
        [_run(tmp_path / str(i), found[i], **{"task.path": names[i]}) for i in range(8)],
        tmp_path / "p.png",
    )
    legend = drawn[0].axes[0].get_legend()
    shown = [text.get_text().strip().replace("\\", "") for text in legend.get_texts()]
    assert shown == [*names[:3], "1 (nothing to draw)", *names[4:]]
    looks = {(line.get_color(), line.get_marker()) for line in drawn[0].axes[1].lines}
    assert len(looks) == 7


def test_of_repetitions_those_that_leave_no_curve_are_counted(tmp_path: Path, drawn) -> None:
    losses = {("a", "0"): [1.0], ("a", "1"): [math.nan], ("b", "0"): [2.0], ("b", "1"): [3.0]}
    runs = [
        _run(tmp_path / f"{cell}{seed}", {"val/loss": of}, **{"cell.name": cell, "seed": seed})
        for (cell, seed), of in losses.items()
    ]
    draw_curves(runs, tmp_path / "p.png")
    names = [text.get_text() for text in drawn[0].axes[0].get_legend().get_texts()]
    assert names == ["a (2 runs, 1 with nothing to draw)", "b (2 runs)"]


@pytest.mark.parametrize("path", ["{}" * 120, "/home/me/" + "a folder/" * 12 + "wind_{}.csv"])
def test_long_values_leave_the_curves_their_room(tmp_path: Path, drawn, path: str) -> None:
    runs = [
        _run(tmp_path / f"{word}{cell}", {"val/loss": [1.0, 2.0]}, **config)
        for word in ("north", "south")
        for cell in ("gru", "lstm")
        for config in [{"task.path": path.replace("{}", word), "cell.name": cell}]
    ]
    draw_curves(runs, tmp_path / "p.png")
    figure = drawn[0]
    axes, (width, _) = figure.axes[0], figure.get_size_inches()
    assert width == 8
    assert axes.get_position().width > 0.8
    assert axes.get_position().height > 0.3
    legend = axes.get_legend() or figure.legends[0]
    assert legend.get_window_extent().width < figure.bbox.width
    assert len({text.get_text() for text in legend.get_texts()}) == 4


@pytest.mark.parametrize("free", [True, False])
def test_a_legend_covers_no_curve(tmp_path: Path, drawn: list[Figure], free: bool) -> None:
    rates, low = ("0.0341401601920", "0.5"), 0.9 if free else 0.01
    losses = [1.0, low] * 20 + [0.01]
    runs = [_run(tmp_path / rate, {"val/loss": losses}, **{"optimizer.lr": rate}) for rate in rates]
    draw_curves(runs, tmp_path / "p.png")
    inside = drawn[0].axes[0].get_legend()
    assert (inside is not None) == free
    texts = (inside or drawn[0].legends[0]).get_texts()
    assert [text.get_text() for text in texts] == ["0.03414", "0.5"]


@pytest.mark.parametrize(("count", "said"), [(9, "seed"), (30, "seed: 28 of 30")])
def test_many_names_stand_below_the_curves(tmp_path: Path, drawn, count: int, said: str) -> None:
    runs = [_run(tmp_path / f"{i}", {"val/loss": [1.0, 2.0]}, seed=str(i)) for i in range(count)]
    draw_curves(runs, tmp_path / "p.png")
    (legend,) = drawn[0].legends
    assert legend.get_title().get_text() == said
    assert [text.get_text() for text in legend.texts] == [str(i) for i in range(min(count, 28))]
    lowest = drawn[0].axes[1].get_position().y0 * drawn[0].bbox.height
    assert legend.get_window_extent().y1 < lowest
    looks = {(line.get_color(), line.get_linestyle()) for line in drawn[0].axes[0].lines}
    assert len(looks) == min(count, 28)


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
    summary = Outcome("n", str(tmp_path), "FINISHED", {}, {}, 1.0, None, None)
    with pytest.raises(StoreError, match="is no run"):
        draw_curves([summary], tmp_path / "p.png")


def test_less_than_a_power_of_ten_is_ticked_by_plain_numbers(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    norms = [0.001, 1.0]
    draw_curves(
        [_run(tmp_path / "a", {"val/loss": [0.1494, 0.1502], "grad/raw_norm": norms})],
        tmp_path / "p.png",
    )
    above, below = drawn[0].axes
    ticks = [text.get_text() for text in above.yaxis.get_ticklabels(which="both")]
    assert any(ticks)
    assert not any("^" in tick for tick in ticks), ticks
    assert any("10^" in text.get_text() for text in below.yaxis.get_ticklabels())
