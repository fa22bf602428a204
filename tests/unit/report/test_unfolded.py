"""The picture of the unfolded graph."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from rnnexp.__main__ import run
from rnnexp.app.commands.unfold import graph_of
from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.registry import Registry
from rnnexp.report.unfolded import draw_unfolded
from rnnexp.report.unfolded_graph import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    Unfolded,
    arrows_over_time,
    captions,
)

SIZES = (3, 8, 2)


def ink(file: Path) -> float:
    """Share of the picture that is not white."""
    return float((plt.imread(file)[..., :3] < 0.99).any(-1).mean())


def test_what_is_shown_of_a_long_sequence() -> None:
    assert Unfolded("", SIZES, length=3).shown == [1, 2, 3]
    assert Unfolded("", SIZES, length=100).shown == [1, 2, 3, 100]


def test_windows_cut_the_gradient_between_them_only() -> None:
    graph = Unfolded("", SIZES, length=10, window=5)
    assert [t for t in range(1, 10) if graph.cut_between(t, t + 1)] == [5]
    assert graph.cut_between(4, 6)


def test_more_arrows_take_more_ink(tmp_path: Path) -> None:
    kinds = {
        "last": Unfolded("t", SIZES, length=4, every_step=False),
        "steps": Unfolded("t", SIZES, length=4),
        "feedback": Unfolded("t", SIZES, length=4, fed="free"),
    }
    for name, graph in kinds.items():
        draw_unfolded(graph, tmp_path / f"{name}.png")
    inks = [ink(tmp_path / f"{name}.png") for name in kinds]
    assert inks == sorted(inks)
    assert inks[0] > 0.05


@pytest.mark.parametrize("words", [["task=digits"], ["task=char_lm", "cell=jordan"]])
def test_the_command_draws_the_network_of_the_config(
    words: list[str], workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["unfold", *words, "--plot", "graph.png"]) == 0
    assert "Drawn: graph.png" in capsys.readouterr().out
    assert ink(workdir / "graph.png") > 0.05


def meant_by(*words: str) -> Unfolded:
    """The graph that a config means."""
    overrides = list(words)
    prepare(overrides)
    return graph_of(check_jobs(overrides, multirun=False, config_dir=None)[0].plan)


def captions_of(graph: Unfolded) -> list[str]:
    return [text for text, _ in captions(graph, arrows_over_time(graph))]


def test_a_cell_without_recurrence_has_its_last_inputs_only(workdir: Path) -> None:
    graph = meant_by("cell=time_conv", "cell.width=3", "task.length=3")
    ends = [(arrow.begin, arrow.end) for arrow in arrows_over_time(graph)]
    assert ends == [((0, 0), (1, 1)), ((0, 0), (2, 1)), ((1, 0), (2, 1))]
    assert captions_of(graph) == ["h$_t$ sees the last 3 inputs"]


def test_steps_that_are_skipped_are_drawn_as_arcs(workdir: Path, plugins: Registry) -> None:
    graph = meant_by("experiment=digits_two_axes")
    arcs = [arrow for arrow in arrows_over_time(graph) if arrow.bend]
    ends = [(graph.shown[int(a.begin[0])], graph.shown[int(a.end[0])]) for a in arcs]
    assert ends == [(2, 10), (3, 11)]
    assert captions_of(graph) == ["arc: h$_t$ is made of h$_{t-8}$, too"]
    assert plugins.get("cell", "tau_gru").cls(2, delay=2).skips == (3,)


@pytest.mark.parametrize(
    ("fed", "rows"), [("teacher", {4}), ("scheduled", {2, 4}), ("free", {2})]
)  # row 2 is the output's, 4 the target's
def test_what_is_fed_back_begins_at_target_or_output(fed: Any, rows: set[int]) -> None:
    graph = Unfolded("", SIZES, 50, hidden_path=False, fed=fed, fed_gradient=False, window=2)
    arrows = arrows_over_time(graph)
    assert {arrow.begin[1] for arrow in arrows} == rows
    assert {arrow.end[1] for arrow in arrows} == {1}
    assert graph.shows_targets == (fed != "free")
    assert {arrow.colour for arrow in arrows} == {PURPLE}, "without a gradient, which is not cut"
    assert [line[:7] for line in captions_of(graph)] == ["purple:"]


def test_what_is_fed_back_is_that_of_the_config(workdir: Path) -> None:
    graph = meant_by("task=char_lm", "task.inputs=none", "cell=jordan", "unroll=free")
    assert (graph.hidden_path, graph.fed, graph.fed_gradient) == (False, "free", False)


def test_a_cut_is_drawn_where_a_gradient_would_come_back() -> None:
    graph = Unfolded("", SIZES, 50, hidden_path=False, fed="free", window=2)
    assert {arrow.colour for arrow in arrows_over_time(graph)} == {BLUE, ORANGE}
    assert captions_of(graph) == ["dotted: y carried on, gradient cut (every 2 steps)"]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Axes]:
    """The axes of what is drawn."""
    kept: list[Axes] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: kept.append(self.axes[0]))
    return kept


@pytest.mark.parametrize(
    ("task", "read"),
    [("copy_memory", []), ("adding", [((0, 2), (3, 3))])],  # at every step; at the last
)
def test_two_directions_are_drawn(workdir: Path, drawn: list[Axes], task: str, read: list) -> None:
    words = [f"task={task}", "cell=gru", "model.layers=2", "model.bidirectional=true"]
    assert run(["unfold", *words]) == 0
    words = [text.get_text() for text in drawn[0].texts]
    assert words.count("hidden, 2 x 64") == 2
    assert "green: each layer reads the sequence from its end, too" in words
    arrows = [patch for patch in drawn[0].patches if isinstance(patch, FancyArrowPatch)]
    ends = [tuple(a._posA_posB) for a in arrows if a.get_edgecolor() == to_rgba(GREEN)]
    back = [(begin, end) for begin, end in ends if end[1] == begin[1]]
    assert len(back) == 2 * 3  # layers, and steps between the four that are drawn
    assert all(end[0] == begin[0] - 1 for begin, end in back)
    assert [pair for pair in ends if pair not in back] == read, "of h'_1, which has seen it all"


def test_a_wrong_config_is_refused(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["unfold", "cell=gruu"]) == 2
    assert "Did you mean 'gru'?" in capsys.readouterr().err
