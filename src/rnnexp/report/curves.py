"""Loss and gradient norms over training, drawn from the runs' journals."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from rnnexp.report.load import Summary
from rnnexp.report.series import Series, drawable, window_maxima
from rnnexp.report.table import differing
from rnnexp.tracking import load_run

# Okabe & Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def draw_curves(runs: Sequence[Summary], file: Path) -> None:
    """Draw validation loss and raw gradient norm of several runs into one picture.

    Args:
        runs: what is drawn; the legend names what tells them apart.
        file: where the PNG goes.
    """
    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 7), sharex=True, layout="constrained")
    keys = differing(run.config for run in runs)
    for index, run in enumerate(runs):
        label = ", ".join(run.config.get(key, "") for key in keys) or run.name
        colour, style = COLOURS[index % len(COLOURS)], "-" if index < len(COLOURS) else "--"
        metrics = load_run(Path(run.folder)).metrics
        losses, norms = (drawable(metrics.get(key, ())) for key in ("val/loss", "grad/raw_norm"))
        _line(above, losses, colour, style, label)
        _line(below, window_maxima(norms), colour, style, label)
    _label(above, "validation loss")
    _label(below, "raw gradient norm,\nlargest of each window")
    below.set_xlabel("optimizer step")
    for axes in [axes for axes in (above, below) if axes.lines][:1]:
        axes.legend(fontsize="small", ncols=2)
    figure.savefig(file, dpi=130)
    plt.close(figure)


def _line(axes: Axes, series: Series, colour: str, style: str, label: str) -> None:
    if series:
        steps, values = zip(*series, strict=True)
        axes.plot(steps, values, style, color=colour, label=label, linewidth=1.4)


def _label(axes: Axes, text: str) -> None:
    axes.set_yscale("log")
    axes.set_ylabel(text)
    axes.grid(alpha=0.3)
