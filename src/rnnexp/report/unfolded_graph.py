"""The unfolded graph of a recurrent network: nodes shown, and what leads from step to step."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Place = tuple[float, float]
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#AA4499", "#555555"
_APART = 0.11
"""How far the arrows of two directions of time lie from the middle between them."""


@dataclass(frozen=True)
class Unfolded:
    """What is drawn.

    Args:
        title: what network it is.
        sizes: input features I, hidden units H, output features O.
        length: time steps T of the task; some of the first and the last are drawn.
        layers: how many cells are stacked.
        every_step: whether there is an output at each step, or at the last one only, made of the
            last state of each direction of time.
        hidden_path: whether h_{t-1} reaches h_t.
        skips: steps back of which h also reaches h_t, by no step between.
        reach: how many of the last inputs h_t sees, x_t among them.
        fed: what stands for y_{t-1} in the input of step t in training; None for nothing.
        fed_gradient: whether an output that is fed back passes a gradient.
        window: steps per window of truncated BPTT, if it is truncated.
        bidirectional: whether each layer also runs from the end; a node then stands for both.
    """

    title: str
    sizes: tuple[int, int, int]
    length: int
    layers: int = 1
    every_step: bool = True
    hidden_path: bool = True
    skips: tuple[int, ...] = ()
    reach: int = 1
    fed: Literal["teacher", "scheduled", "free"] | None = None
    fed_gradient: bool = True
    window: int | None = None
    bidirectional: bool = False

    @property
    def shown(self) -> list[int]:
        """The steps that are drawn, from 1 to T."""
        # By a skip of n steps h_2 reaches h_{n+2}.
        ends = [skip + t for skip in self.skips for t in (2, 3)]
        steps = {t for t in (1, 2, 3, *ends) if t <= self.length}
        return sorted(steps | {self.length})

    @property
    def shows_targets(self) -> bool:
        """Whether some are fed back."""
        return self.fed in ("teacher", "scheduled")

    def cut_between(self, s: int, t: int) -> bool:
        """Whether back-propagation stops between step s and a later one."""
        return self.window is not None and (s - 1) // self.window != (t - 1) // self.window


@dataclass(frozen=True)
class Arrow:
    """An arrow between two places, columns by rows.

    Args:
        begin: where it begins.
        end: where it ends.
        colour: says what flows along it.
        style: of the line.
        bend: how far the line leaves the straight one, as a share of its length.
        between: whether it runs between two columns, past the nodes of several rows.
    """

    begin: Place
    end: Place
    colour: str
    style: str = "-"
    bend: float = 0.0
    between: bool = False


def arrows_over_time(graph: Unfolded) -> list[Arrow]:
    """List the arrows that lead from one step to another."""
    ways = (_chain, _skips, _past_inputs, _fed_back)
    columns = range(1, len(graph.shown))
    found = [arrow for way in ways for column in columns for arrow in way(graph, column)]
    if graph.bidirectional:
        found += [_turned(arrow) for arrow in found]
        found += _far_end(graph)
    return found


def captions(graph: Unfolded, arrows: Sequence[Arrow]) -> list[tuple[str, str]]:
    """Say what the colours and lines mean: texts, each with its colour."""
    lines: list[tuple[str, str]] = []
    cut = [arrow for arrow in arrows if arrow.colour == ORANGE]
    if cut:
        what = "y" if all(arrow.begin[1] > graph.layers for arrow in cut) else "state"
        text = f"dotted: {what} carried on, gradient cut (every {graph.window} steps)"
        lines.append((text, ORANGE))
    if graph.fed == "teacher":
        lines.append(("purple: targets y* are fed back; outputs y when running free", PURPLE))
    if graph.fed == "scheduled":
        lines.append(("purple: target y* or output y by a coin, without a gradient", PURPLE))
    if graph.fed == "free" and not graph.fed_gradient:
        lines.append(("purple: what is fed back of y passes no gradient", PURPLE))
    if graph.skips:
        steps = ", ".join(f"h$_{{t-{skip}}}$" for skip in graph.skips)
        lines.append((f"arc: h$_t$ is made of {steps}, too", BLUE))
    if graph.reach > 1:
        what = "" if graph.fed is None else ", what is fed back among them"
        lines.append((f"h$_t$ sees the last {graph.reach} inputs{what}", BLUE))
    if graph.bidirectional:
        lines.append(("green: each layer reads the sequence from its end, too", GREEN))
    return lines


def dots(graph: Unfolded) -> Iterator[Place]:
    """Give the places where steps are left out."""
    above = 0.14 + (_APART if graph.bidirectional else 0)
    half = 0.62 if graph.fed else 0.5  # past what is fed back
    for column in range(1, len(graph.shown)):
        if _leaves_out(graph, column):
            for layer in range(1, graph.layers + 1):
                yield column - half, layer + above


def _leaves_out(graph: Unfolded, column: int) -> bool:
    return graph.shown[column] != graph.shown[column - 1] + 1


def _look(graph: Unfolded, begin: int, column: int) -> tuple[str, str]:
    """Give colour and style of what a gradient comes back along, from column to column."""
    if graph.cut_between(graph.shown[begin], graph.shown[column]):
        return ORANGE, ":"
    return BLUE, "--" if begin == column - 1 and _leaves_out(graph, column) else "-"


def _chain(graph: Unfolded, column: int) -> Iterator[Arrow]:
    above = _APART if graph.bidirectional else 0
    for layer in range(1, graph.layers + 1 if graph.hidden_path else 1):
        ends = (column - 1, layer + above), (column, layer + above)
        yield Arrow(*ends, *_look(graph, column - 1, column))


def _skips(graph: Unfolded, column: int) -> Iterator[Arrow]:
    for begin, steps in _before(graph, column):
        if steps in graph.skips and steps > 1:
            for layer in range(1, graph.layers + 1):
                look = _look(graph, begin, column)
                yield Arrow((begin, layer), (column, layer), *look, bend=-1 / (column - begin))


def _past_inputs(graph: Unfolded, column: int) -> Iterator[Arrow]:
    if graph.reach == 1:
        return
    for below in range(0 if graph.sizes[0] else 1, graph.layers):
        for begin, steps in _before(graph, column):
            if steps < graph.reach:
                # To the inputs themselves no gradient goes back.
                look = _look(graph, begin, column) if below else (BLUE, "-")
                yield Arrow((begin, below), (column, below + 1), *look)
        if _leaves_out(graph, column):
            look = _look(graph, column - 1, column) if below else (BLUE, "--")
            yield Arrow((column - 0.75, below + 0.25), (column, below + 1), *look)


def _fed_back(graph: Unfolded, column: int) -> Iterator[Arrow]:
    if graph.fed is None:
        return
    colour, style = _look(graph, column - 1, column)
    if graph.fed != "free" or not graph.fed_gradient:
        colour, style = PURPLE, "--" if _leaves_out(graph, column) else "-"
    for row in {"teacher": (3,), "scheduled": (1, 3), "free": (1,)}[graph.fed]:
        ends = (column - 1, graph.layers + row), (column, 1)
        style = ":" if graph.fed == "scheduled" else style
        yield Arrow(*ends, colour, style, between=graph.layers + row > 2)


def _before(graph: Unfolded, column: int) -> list[tuple[int, int]]:
    """List the columns before one, each with how many steps before it is."""
    return [(begin, graph.shown[column] - graph.shown[begin]) for begin in range(column)]


def _turned(arrow: Arrow) -> Arrow:
    """Make the arrow of the direction that reads from the end."""
    (left, low), (right, high) = arrow.begin, arrow.end
    first = math.floor(left)
    if round(low) == round(high):  # along a row of nodes, on the other side of its middle
        low = high = 2 * round(low) - low
    return Arrow((right + first - left, low), (first, high), GREEN, arrow.style, arrow.bend)


def _far_end(graph: Unfolded) -> Iterator[Arrow]:
    # The direction that reads from the end has seen the whole sequence at step 1.
    last = len(graph.shown) - 1
    if not graph.every_step and last > 0:
        yield Arrow((0, graph.layers), (last, graph.layers + 1), GREEN, bend=-0.25)
