"""The graph of a recurrent network, unfolded over a few steps of time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch

from rnnexp.report.words import literal

Place = tuple[float, float]
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"
_FACE = {"x": "#E8E8E8", "h": "#CFE4F3", "y": "#FBE3C8", "L": "#D6EFD8"}
_RADIUS = 0.32
_APART = 0.11
"""How far the arrows of two directions of time lie from the middle between them."""


@dataclass(frozen=True)
class Unfolded:
    """What is drawn.

    Args:
        title: what network it is.
        sizes: input features I, hidden units H, output features O.
        length: time steps T of the task; the first few and the last are drawn.
        layers: how many cells are stacked.
        every_step: whether there is an output at each step, or at the last one only, made of the
            last state of each direction of time.
        hidden_path: whether h_{t-1} reaches h_t.
        feedback: whether y_{t-1} reaches h_t.
        window: steps per window of truncated BPTT, if it is truncated.
        bidirectional: whether each layer also runs from the end; a node then stands for both.
    """

    title: str
    sizes: tuple[int, int, int]
    length: int
    layers: int = 1
    every_step: bool = True
    hidden_path: bool = True
    feedback: bool = False
    window: int | None = None
    bidirectional: bool = False

    @property
    def shown(self) -> list[int]:
        """The steps that are drawn, from 1 to T."""
        head = list(range(1, min(self.length, 4) + 1))
        return head if self.length <= 4 else [1, 2, 3, self.length]

    def cut_after(self, t: int) -> bool:
        """Whether back-propagation stops between step t and the next."""
        return self.window is not None and t % self.window == 0 and t < self.length


def draw_unfolded(graph: Unfolded, file: Path) -> None:
    """Draw nodes for input, hidden state, output and loss of each step, and what flows between.

    Args:
        graph: the network.
        file: where the PNG goes.
    """
    columns, height = len(graph.shown), graph.layers + 3.2
    figure, axes = plt.subplots(
        figsize=(1.15 * (columns + 1.7), 1.15 * height), layout="constrained"
    )
    for column, t in enumerate(graph.shown):
        _draw_step(axes, graph, column, t)
        if column:
            _draw_past(axes, graph, column, t)
    for begin, end in _far_end(graph):
        _arrow(axes, begin, end, GREEN, bend=-0.25)
    _explain(axes, graph)
    axes.set(xlim=(-1.9, columns - 0.3), ylim=(-0.75, height - 0.4), aspect="equal")
    axes.axis("off")
    axes.set_title(literal(graph.title), fontsize=11, loc="left")
    figure.savefig(file, dpi=130)
    plt.close(figure)


def _draw_step(axes: Axes, graph: Unfolded, column: int, t: int) -> None:
    name = "T" if t == graph.length else str(t)
    shows_input = graph.sizes[0] > 0
    if shows_input:
        _node(axes, (column, 0), f"x$_{{{name}}}$", "x")
    for layer in range(1, graph.layers + 1):
        upper = f"^{{({layer})}}" if graph.layers > 1 else ""
        _node(axes, (column, layer), f"h$_{{{name}}}{upper}$", "h")
        if layer > 1 or shows_input:
            _arrow(axes, (column, layer - 1), (column, layer), BLUE)
    if graph.every_step or t == graph.length:
        top = graph.layers + 1
        _node(axes, (column, top), f"y$_{{{name}}}$", "y")
        _node(axes, (column, top + 1), f"L$_{{{name}}}$", "L")
        _arrow(axes, (column, top - 1), (column, top), BLUE)
        _arrow(axes, (column, top), (column, top + 1), GREY)


def _draw_past(axes: Axes, graph: Unfolded, column: int, t: int) -> None:
    skipped = t != graph.shown[column - 1] + 1
    cut = any(graph.cut_after(s) for s in range(graph.shown[column - 1], t))
    colour, style = (ORANGE, ":") if cut else (BLUE, "--" if skipped else "-")
    for begin, end in _past(graph, column):
        _arrow(axes, begin, end, colour, style)
    for begin, end in _future(graph, column):
        _arrow(axes, begin, end, GREEN, style)
    if skipped:
        for layer in range(1, graph.layers + 1):
            above = 0.14 + (_APART if graph.bidirectional else 0)
            axes.text(column - 0.5, layer + above, "...", ha="center", fontsize=12)


def _past(graph: Unfolded, column: int) -> Iterator[tuple[Place, Place]]:
    if graph.hidden_path:
        above = _APART if graph.bidirectional else 0
        for layer in range(1, graph.layers + 1):
            yield (column - 1, layer + above), (column, layer + above)
    if graph.feedback:
        yield (column - 1, graph.layers + 1), (column, 1)


def _future(graph: Unfolded, column: int) -> Iterator[tuple[Place, Place]]:
    if graph.bidirectional and graph.hidden_path:
        for layer in range(1, graph.layers + 1):
            yield (column, layer - _APART), (column - 1, layer - _APART)


def _far_end(graph: Unfolded) -> Iterator[tuple[Place, Place]]:
    # The direction that reads from the end has seen the whole sequence at step 1.
    last = len(graph.shown) - 1
    if graph.bidirectional and not graph.every_step and last > 0:
        yield (0, graph.layers), (last, graph.layers + 1)


def _explain(axes: Axes, graph: Unfolded) -> None:
    inputs, hidden, outputs = graph.sizes
    rows = {0.0: f"input, {inputs}" if inputs else "", graph.layers + 1.0: f"output, {outputs}"}
    width = f"2 x {hidden}" if graph.bidirectional else f"{hidden}"
    rows |= {float(layer): f"hidden, {width}" for layer in range(1, graph.layers + 1)}
    rows[graph.layers + 2.0] = "loss"
    for y, text in rows.items():
        axes.text(-0.6, y, text, ha="right", va="center", fontsize=9, color=GREY)
    if graph.window is not None:
        text = f"dotted: state carried on, gradient cut (every {graph.window} steps)"
        axes.text(-0.6, -0.62, text, fontsize=8, color=ORANGE)
    if graph.bidirectional:  # never with windows, which hide the steps to come
        text = "green: each layer reads the sequence from its end, too"
        axes.text(-0.6, -0.62, text, fontsize=8, color=GREEN)


def _node(axes: Axes, place: Place, label: str, kind: str) -> None:
    circle = plt.Circle(place, _RADIUS, facecolor=_FACE[kind], edgecolor=GREY, zorder=3)
    axes.add_patch(circle)
    axes.text(*place, label, ha="center", va="center", fontsize=11, zorder=4)


def _arrow(
    axes: Axes, begin: Place, end: Place, colour: str, style: str = "-", bend: float = 0.0
) -> None:
    points = 72 * _RADIUS * 1.08
    patch = FancyArrowPatch(
        begin,
        end,
        arrowstyle="-|>",
        connectionstyle=f"arc3,rad={bend}",
        mutation_scale=11,
        shrinkA=points,
        shrinkB=points,
        color=colour,
        linestyle=style,
        linewidth=1.5,
        zorder=2,
    )
    axes.add_patch(patch)
