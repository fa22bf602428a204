"""The graph of a recurrent network, unfolded over a few steps of time."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path as Line

from rnnexp.report.unfolded_graph import (
    BLUE,
    GREY,
    Arrow,
    Place,
    Unfolded,
    arrows_over_time,
    captions,
    dots,
)
from rnnexp.report.words import literal

_FACE = {"x": "#E8E8E8", "h": "#CFE4F3", "y": "#FBE3C8", "L": "#D6EFD8", "target": "#EAD7E8"}
_RADIUS = 0.32
_LINE = 0.24
"""From one line of the captions to the next."""


def draw_unfolded(graph: Unfolded, file: Path) -> None:
    """Draw nodes for input, hidden state, output and loss of each step, and what flows between.

    Args:
        graph: the network.
        file: where the PNG goes.
    """
    arrows = arrows_over_time(graph)
    lines = captions(graph, arrows)
    low = 0 if graph.sizes[0] else 1  # of the lowest nodes
    bottom = low - 0.75 - _LINE * max(len(lines) - 1, 0)
    columns, top = len(graph.shown), graph.layers + (3.8 if graph.shows_targets else 2.8)
    figure, axes = plt.subplots(
        figsize=(1.15 * (columns + 1.7), 1.15 * (top - bottom - 0.35)), layout="constrained"
    )
    for column, t in enumerate(graph.shown):
        _draw_step(axes, graph, column, t)
    for arrow in arrows:
        _draw(axes, arrow)
    for place in dots(graph):
        axes.text(*place, "...", ha="center", fontsize=12)
    for i, (text, colour) in enumerate(lines):
        axes.text(-0.6, low - 0.62 - _LINE * i, text, fontsize=8, color=colour)
    _name_rows(axes, graph)
    axes.set(xlim=(-1.9, columns - 0.3), ylim=(bottom, top), aspect="equal")
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
            _draw(axes, Arrow((column, layer - 1), (column, layer), BLUE))
    top = graph.layers + 1
    if graph.every_step or t == graph.length:
        _node(axes, (column, top), f"y$_{{{name}}}$", "y")
        _node(axes, (column, top + 1), f"L$_{{{name}}}$", "L")
        _draw(axes, Arrow((column, top - 1), (column, top), BLUE))
        _draw(axes, Arrow((column, top), (column, top + 1), GREY))
    if graph.shows_targets:
        _node(axes, (column, top + 2), f"y$^*_{{{name}}}$", "target")
        _draw(axes, Arrow((column, top + 2), (column, top + 1), GREY))


def _name_rows(axes: Axes, graph: Unfolded) -> None:
    inputs, hidden, outputs = graph.sizes
    rows = {0.0: f"input, {inputs}" if inputs else "", graph.layers + 1.0: f"output, {outputs}"}
    width = f"2 x {hidden}" if graph.bidirectional else f"{hidden}"
    rows |= {float(layer): f"hidden, {width}" for layer in range(1, graph.layers + 1)}
    rows |= {graph.layers + 2.0: "loss", graph.layers + 3.0: "target" * graph.shows_targets}
    for y, text in rows.items():
        axes.text(-0.6, y, text, ha="right", va="center", fontsize=9, color=GREY)


def _node(axes: Axes, place: Place, label: str, kind: str) -> None:
    circle = plt.Circle(place, _RADIUS, facecolor=_FACE[kind], edgecolor=GREY, zorder=3)
    axes.add_patch(circle)
    axes.text(*place, label, ha="center", va="center", fontsize=11, zorder=4)


def _draw(axes: Axes, arrow: Arrow) -> None:
    points = 72 * _RADIUS * 1.08
    straight = None if arrow.between else (arrow.begin, arrow.end)
    patch = FancyArrowPatch(
        *(straight or (None, None)),
        path=None if straight else _between(arrow),
        connectionstyle=f"arc3,rad={arrow.bend}",
        arrowstyle="-|>",
        mutation_scale=11,
        shrinkA=points,
        shrinkB=points,
        color=arrow.colour,
        linestyle=arrow.style,
        linewidth=1.5,
        zorder=2,
    )
    axes.add_patch(patch)


def _between(arrow: Arrow) -> Line:
    """Lead right, down between the columns of nodes, and right again."""
    (left, top), (right, low) = arrow.begin, arrow.end
    left, right = left + _RADIUS, right - _RADIUS
    points = [(left, top), (right, top), (left, low), (right, low)]
    return Line(points, [Line.MOVETO, Line.CURVE4, Line.CURVE4, Line.CURVE4])
