"""The picture of the unfolded graph."""

from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from rnnexp.__main__ import run
from rnnexp.report.unfolded import GREEN, Unfolded, draw_unfolded

SIZES = (3, 8, 2)


def ink(file: Path) -> float:
    """Share of the picture that is not white."""
    return float((plt.imread(file)[..., :3] < 0.99).any(-1).mean())


def test_what_is_shown_of_a_long_sequence() -> None:
    assert Unfolded("", SIZES, length=3).shown == [1, 2, 3]
    assert Unfolded("", SIZES, length=100).shown == [1, 2, 3, 100]


def test_windows_cut_the_gradient_between_them_only() -> None:
    graph = Unfolded("", SIZES, length=10, window=5)
    assert [t for t in range(1, 11) if graph.cut_after(t)] == [5]


def test_more_arrows_take_more_ink(tmp_path: Path) -> None:
    kinds = {
        "last": Unfolded("t", SIZES, length=4, every_step=False),
        "steps": Unfolded("t", SIZES, length=4),
        "feedback": Unfolded("t", SIZES, length=4, feedback=True),
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
