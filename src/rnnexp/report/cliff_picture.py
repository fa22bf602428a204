"""The cliff of one recurrent unit, and how clipped and unclipped descent meet it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LightSource, LogNorm
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D

from rnnexp.errors import ConfigError
from rnnexp.report.cliff_surface import Samples, Unit, Values, error_and_slope, pool, refine, wall
from rnnexp.report.curves import COLOURS
from rnnexp.report.series import write_csv
from rnnexp.report.table import differing, headings
from rnnexp.report.words import SHORT, brief, cut, literal
from rnnexp.tracking import load_run
from rnnexp.tracking.outcome import Outcome

WIDEST = ((0.0, 10.0), (-6.0, 3.0))
"""Limits of w and b; a path that leaves them leaves the picture."""
_GRID = (240, 320)
_COLOURS = (COLOURS[1], COLOURS[5], COLOURS[3], COLOURS[4])
_WEIGHTS = ("param/layer0.weight_hh", "param/layer0.bias_hh")


@dataclass(frozen=True)
class Descent:
    """The path of one run over the surface: the weights that each step was made with, from step 1.

    The last are those that the last step has led to. What tells the run apart is its label; its
    name is that as a picture has room for it.
    """

    label: str
    name: str
    w: Values
    b: Values
    error: Values
    slope: Values


@dataclass(frozen=True)
class _Scene:
    unit: Unit
    w_R: Values
    b_C: Values
    samples: Samples
    error_RC: Values


def draw_cliff_surface(runs: Sequence[Outcome], folder: Path) -> list[Path]:
    """Draw the error surface over (w, b), its wall, and the path of every run on it.

    Args:
        runs: of ``task=one_unit cell=one_unit``; the legend names what tells them apart.
        folder: where the PNG and the numbers behind it go.

    Returns:
        ``cliff_surface.png``; ``.json`` with the wall; ``.csv`` with the paths.

    Raises:
        ConfigError: a run is none of a single unit.
    """
    unit = _unit_of(runs[0].config)
    names = zip(_labels(runs), _labels(runs, brief), strict=True)
    descents = [_descent(run, *both, unit) for run, both in zip(runs, names, strict=True)]
    scene = _survey(descents, unit)
    file = folder / "cliff_surface.png"
    _draw(scene, descents, file)
    return [file, _write_wall(scene, file), _write_paths(descents, file)]


def _unit_of(config: Mapping[str, str]) -> Unit:
    try:
        keys = ("task.length", "cell.x0", "task.target")
        steps, x0, target = (float(config[key]) for key in keys)
    except KeyError as error:
        raise ConfigError(f"The picture cliff_surface needs {error} of cell=one_unit.") from error
    return Unit(int(steps), x0, target)


def _labels(
    runs: Sequence[Outcome], shown: Callable[[Sequence[str]], Sequence[str]] = list
) -> list[str]:
    keys = differing(run.config for run in runs)
    columns = [shown([run.config.get(key, "") for run in runs]) for key in keys]
    rows = zip(*columns, strict=True) if columns else [()] * len(runs)
    named = [", ".join(map("=".join, zip(headings(keys), row, strict=True))) for row in rows]
    return [name or run.name for name, run in zip(named, runs, strict=True)]


def _descent(run: Outcome, label: str, name: str, unit: Unit) -> Descent:
    metrics = load_run(Path(run.folder)).metrics
    if not all(metrics.get(key) for key in _WEIGHTS):
        raise ConfigError(f"{run.folder} has no {' and '.join(_WEIGHTS)}: no run of cell=one_unit.")
    w, b = (np.array([value for _, value in metrics[key]]) for key in _WEIGHTS)
    return Descent(label, cut(name, SHORT), w, b, *error_and_slope(w, b, unit))


def _survey(descents: Sequence[Descent], unit: Unit) -> _Scene:
    w_low, w_high = _span(np.concatenate([d.w for d in descents]), *WIDEST[0])
    b_low, b_high = _span(np.concatenate([d.b for d in descents]), *WIDEST[1])
    w_R, b_C = np.linspace(w_low, w_high, _GRID[0]), np.linspace(b_low, b_high, _GRID[1])
    error_RC, _ = error_and_slope(w_R[:, None], b_C[None, :], unit)
    return _Scene(unit, w_R, b_C, refine(w_R, b_C, unit), error_RC)


def _span(values: Values, low: float, high: float) -> tuple[float, float]:
    # The whole path with room around it, as far as it lies in a place worth looking at.
    inside = values[np.isfinite(values) & (values >= low) & (values <= high)]
    if not len(inside):
        return low, high
    room = max(0.5, 0.12 * float(np.ptp(inside)))
    return max(low, float(inside.min()) - room), min(high, float(inside.max()) + room)


def _draw(scene: _Scene, descents: Sequence[Descent], file: Path) -> None:
    figure = plt.figure(figsize=(11, 8.6), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(1.5, 1), width_ratios=(1, 1.1))
    _draw_relief(figure.add_subplot(grid[0, 0], projection="3d"), scene, descents)
    surface = figure.add_subplot(grid[0, 1])
    _draw_map(figure, surface, scene, descents)
    left, right = figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[1, 1])
    for index, descent in enumerate(descents):
        made = range(1, len(descent.error))
        left.plot(made, descent.error[:-1], **_style(index))
        right.plot(made, np.maximum(descent.slope[:-1], 1e-12), **_style(index))
    _dress_step_axes(left, "error E")
    _dress_step_axes(right, "gradient norm  |∂E/∂(w, b)|")
    figure.suptitle(_formula(scene.unit), fontsize="x-large")
    # One for all four, below them: on the map it would lie over paths.
    handles, labels = surface.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _formula(unit: Unit) -> str:
    recurrence = r"x_t = w\,\sigma(x_{t-1}) + b"
    error = rf"E = (\sigma(x_{{{unit.steps}}}) - {unit.target:g})^2"
    return f"One unit:  ${recurrence}$,  $x_0 = {unit.x0:g}$,  ${error}$"


def _draw_relief(axes: Axes3D, scene: _Scene, descents: Sequence[Descent]) -> None:
    w_RC, b_RC, error_RC = (values[::-1] for values in _relief(scene))  # lit from above
    axes.computed_zorder = False  # paths lie on the surface: drawn after it, not sorted into it
    colours = plt.get_cmap("cividis")(_norm(scene)(error_RC))
    axes.plot_surface(
        w_RC, b_RC, error_RC, facecolors=colours, shade=True, lightsource=LightSource(300, 60),
        rstride=2, cstride=1, linewidth=0, antialiased=False,
    )  # fmt: skip
    for index, descent in enumerate(descents):
        w, b, error = _inside(scene, descent)
        axes.plot(w, b, error + 0.004, zorder=5, **_style(index))
    axes.set(xlabel="recurrent weight w", ylabel="bias b", zlabel="error E")
    axes.view_init(elev=32, azim=35)
    axes.set_box_aspect((1, 1.15, 0.75))


def _relief(scene: _Scene) -> tuple[Values, Values, Values]:
    # Columns stand close on both sides of the wall: one smooth face, however steep it is.
    foot_R = _wall_line(scene)
    gap = 1e-3
    low, high = scene.b_C[0], scene.b_C[-1]
    foot_R = np.clip(foot_R, low + 2 * gap, high - 2 * gap)
    below = np.linspace(np.full_like(foot_R, low), foot_R - gap, 60, axis=1)
    above = np.linspace(foot_R + gap, np.full_like(foot_R, high), 90, axis=1)
    b_RC = np.concatenate([below, above], axis=1)
    w_RC = np.broadcast_to(scene.w_R[:, None], b_RC.shape)
    return w_RC, b_RC, error_and_slope(w_RC, b_RC, scene.unit)[0]


def _wall_line(scene: _Scene) -> Values:
    # Below its begin the wall goes on as a slope, along b = -w / 2.
    wall_w, wall_b, _ = wall(scene.samples)
    if not len(wall_w):
        return -scene.w_R / 2
    before = np.maximum(wall_w[0] - scene.w_R, 0)
    return np.interp(scene.w_R, wall_w, wall_b) + before / 2


def _norm(scene: _Scene) -> LogNorm:
    return LogNorm(max(float(scene.error_RC.min()), 1e-4), float(scene.error_RC.max()))


def _draw_map(figure: Figure, axes: Axes, scene: _Scene, descents: Sequence[Descent]) -> None:
    mesh = axes.pcolormesh(
        scene.w_R, scene.b_C, scene.error_RC.T, norm=_norm(scene), cmap="cividis", rasterized=True
    )
    figure.colorbar(mesh, ax=axes, pad=0.02, extend="min").set_label("error E", fontsize="large")
    wall_w, wall_b, _ = wall(scene.samples)
    axes.plot(wall_w, wall_b, color="white", linewidth=2.5)
    axes.plot(wall_w, wall_b, color="black", linewidth=1, label="cliff: |∂E/∂(w, b)| > 5")
    for index, descent in enumerate(descents):
        _draw_path(axes, descent, index)
    start = descents[0]
    axes.plot(start.w[0], start.b[0], "*", color="white", markeredgecolor="black", markersize=14)
    axes.annotate(
        "start", (start.w[0], start.b[0]), xytext=(9, -11), textcoords="offset points",
        color="white", fontsize="large",
    )  # fmt: skip
    axes.set_xlim(scene.w_R[0], scene.w_R[-1])
    axes.set_ylim(scene.b_C[0], scene.b_C[-1])
    axes.set_xlabel("recurrent weight w", fontsize="large")
    axes.set_ylabel("bias b", fontsize="large")


def _draw_path(axes: Axes, descent: Descent, index: int) -> None:
    style = _style(index)
    axes.plot(descent.w, descent.b, color="black", linewidth=style["linewidth"] + 1.2)
    axes.plot(descent.w, descent.b, label=literal(descent.name), **style)
    axes.plot(
        descent.w[-1], descent.b[-1], "o", color=style["color"], markeredgecolor="black", zorder=6
    )


def _dress_step_axes(axes: Axes, what: str) -> None:
    axes.set_yscale("log")
    axes.set_xlabel("optimizer step", fontsize="large")
    axes.set_ylabel(what, fontsize="large")
    axes.grid(alpha=0.3)


def _inside(scene: _Scene, descent: Descent) -> tuple[Values, Values, Values]:
    within = (descent.w >= scene.w_R[0]) & (descent.w <= scene.w_R[-1])
    within &= (descent.b >= scene.b_C[0]) & (descent.b <= scene.b_C[-1])
    holes = np.where(within, 1.0, np.nan)
    return descent.w * holes, descent.b * holes, descent.error * holes


def _style(index: int) -> dict[str, Any]:
    # The first path is wide, so that it shows under a second that goes the same way.
    colour = _COLOURS[index % len(_COLOURS)]
    return {"color": colour, "linewidth": 3.6 if index == 0 else 1.5}


def _write_wall(scene: _Scene, file: Path) -> Path:
    w, b, slope = wall(scene.samples)
    steepest_R = pool(scene.samples, len(scene.w_R), scene.b_C).max(axis=1)
    numbers = {
        "unit": asdict(scene.unit),
        "wall": {"w": w.tolist(), "b": b.tolist(), "slope": slope.tolist()},
        "rows": {"w": scene.w_R.tolist(), "steepest": steepest_R.tolist()},
        "points": len(scene.samples.b),
    }
    numbers_file = file.with_suffix(".json")
    numbers_file.write_text(json.dumps(numbers), encoding="utf-8")
    return numbers_file


def _write_paths(descents: Sequence[Descent], file: Path) -> Path:
    header = ("run", "step", "w", "b", "error", "gradient_norm")
    rows = (
        (descent.label, step, *values)
        for descent in descents
        for step, values in enumerate(
            zip(
                *(a.tolist() for a in (descent.w, descent.b, descent.error, descent.slope)),
                strict=True,
            ),
            1,  # weights on record at step 0 are those that step 1 was made with
        )
    )
    return write_csv(file.with_suffix(".csv"), header, rows)
