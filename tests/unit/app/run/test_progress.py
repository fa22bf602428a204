"""The bar of a run: as long at every step, and nothing that matters is pushed out of it."""

import io
import math
import re
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from rnnexp.app.run.progress import RunProgress, make_bar

TITLE, TOTAL = "adding-elman-clip_norm-s0", 1000
LEFT = re.compile(r" (-:--:--|0:\d\d:\d\d) *$")
STEPS = [
    {},
    {"train/loss": 0.1671, "grad/raw_norm": 1.0, "grad/clipped_norm": 1.0},
    {"train/loss": 1.234e-5, "grad/raw_norm": 1.23e14, "grad/clipped_norm": 0.0123},
    {"train/loss": math.nan, "grad/raw_norm": math.inf, "grad/clipped_norm": 1.0},
]


def _lines(width: int) -> list[str]:
    """Draw the bar after each of `STEPS`."""
    monitor: Any = SimpleNamespace(latest={})
    progress = RunProgress(monitor, TITLE, "bar")
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    bar = make_bar(console, TITLE, TOTAL)
    task = bar.add_task(TITLE, total=TOTAL, **progress._fields())
    lines = []
    for step, figures in enumerate(STEPS):
        monitor.latest, progress._rate = figures, 8.0 * 20**step if figures else 0.0
        bar.update(task, completed=300 * step, **progress._fields())
        with console.capture() as said:
            console.print(bar.get_renderable())
        lines.append(said.get().rstrip("\n"))
    return lines


@pytest.mark.parametrize("width", [30, 60, 80, 100, 160])
def test_step_and_time_left_are_whole_at_any_width(width: int) -> None:
    lines = _lines(width)
    for step, line in enumerate(lines):
        assert f"{300 * step:>4}/1000" in line
        assert LEFT.search(line)
        assert "…" not in line
        assert "\n" not in line
    assert len({line.index("/1000") for line in lines}) == 1
    assert len({LEFT.search(line).start() for line in lines}) == 1


def test_the_bar_goes_first_and_the_title_next() -> None:
    figures = ("loss    0.1671", "|grad|        1 →        1", "steps/s")
    for width, bar, title in ((160, True, True), (100, False, True), (80, False, False)):
        line = _lines(width)[1]
        assert ("━" in line, TITLE in line) == (bar, title)
        assert all(figure in line for figure in figures)
    assert "loss" in _lines(60)[1]
    assert "steps/s" not in _lines(60)[1]


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (0.0004, "2500 s/step"),
        (0.049, "20 s/step"),
        (0.3, "0.3 steps/s"),
        (0.123, "0.12 steps/s"),
        (2.46, "2.5 steps/s"),
        (9.96, "10 steps/s"),
        (31.4, "31 steps/s"),
        (25_600.0, "25600 steps/s"),
    ],
)
def test_a_slow_run_does_not_seem_to_stand(rate: float, said: str) -> None:
    monitor: Any = SimpleNamespace(latest=STEPS[1])
    progress = RunProgress(monitor, TITLE, "lines")
    progress._rate = rate
    assert progress._figures().endswith(f"  {said}")
    shown = progress._fields()["rate"]
    assert shown.split() == said.split()
    assert len(shown) == len("    1 steps/s")
