"""What MLflow's UI shows of runs where a link asks for it.

By itself it shows no figure and no parameter, and the runs of a sweep only after a click on its
row. A shared view is a tag of the experiment, which a link names by its key. One holds for all runs
of an experiment, and each sweep has one of its own: its runs alone, the best first; task by task,
where they are of several.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

VIEW = "rnnexp"
"""Key of the view of all runs; that of a sweep is the id of its run."""
TAG = "mlflow.sharedViewState."
_PARAMS = tuple(f"params.`{key}`" for key in ("task.name", "cell.name", "clip.by", "seed"))
_METRICS = (
    *(f"metrics.`{key}`" for key in ("test/loss", "test/loss_relative", "val/loss_best")),
    *(f"metrics.`grad/{key}`" for key in ("largest_raw_norm", "clipped_fraction")),
    "metrics.`cliffs/count`",
)
_IN_SWEEP = ("metrics.`test/loss`", "metrics.`cliffs/count`")
"""Beside the figure that decides: metrics stand first, and what varies is to be in sight too."""
_TASK = "task.name"
_OF_SEVERAL_TASKS = (*_IN_SWEEP, "metrics.`test/loss_relative`")
_MOST_PARAMS = 30
"""Columns beyond them would help nobody, and a tag has its limits."""


@dataclass(frozen=True)
class Comparison:
    """How the runs of a sweep are compared.

    Args:
        varied: the parameters that differ from run to run.
        figure: the metric that says how good a run is; None where the runs are of several tasks.
        minimize: whether less of it is better.
    """

    varied: tuple[str, ...]
    figure: str | None
    minimize: bool


class SweepView(NamedTuple):
    """A sweep in a store that has a view of its own.

    Args:
        name: of the sweep.
        experiment: id of the experiment that it is in.
        run_id: of the sweep's run, by which a link names the view.
        order: how the view sorts its runs, in words.
        user: who began it; empty where that is not known.
        begun: in milliseconds.
    """

    name: str
    experiment: str
    run_id: str
    order: str
    user: str
    begun: int


def view_of_all(before: str, varied: Sequence[str]) -> str:
    """Add the parameters that a further sweep varies to the view of all runs.

    Args:
        before: the view that there is; empty where there is none.
        varied: names of parameters.
    """
    known = _columns_of(before) or [*_PARAMS, *_METRICS]
    params = [column for column in known if column.startswith("params.")]
    figures = [column for column in known if column not in params]
    return json.dumps({"selectedColumns": [*_with(params, varied), *figures]})


def view_of_sweep(run_id: str, compared: Mapping[str, Any]) -> str:
    """Show the runs of one sweep, the best first, with what varies and how good they are.

    Those of several tasks stand task by task: of their losses none is the best.

    Args:
        run_id: of the sweep.
        compared: the fields of its `Comparison`.
    """
    figure, varied = compared["figure"], compared["varied"]
    of_one = figure is not None
    params = _with((), varied if of_one else (_TASK, *varied)) or _PARAMS
    figures = (f"metrics.`{figure}`", *_IN_SWEEP) if of_one else _OF_SEVERAL_TASKS
    view = {
        "selectedColumns": list(dict.fromkeys((*params, *figures))),
        "searchFilter": f"tags.`mlflow.parentRunId` = '{run_id}'",
        "orderByKey": figures[0] if of_one else params[0],
        "orderByAsc": compared["minimize"],
    }
    return json.dumps(view)


def order_of(view: str) -> str:
    """Say in words how the view of a sweep sorts its runs."""
    try:
        first = str(json.loads(view)["orderByKey"])
    except (ValueError, TypeError, KeyError):  # somebody has written what is none
        return "in a view of its own"
    return "the best first" if first.startswith("metrics.") else "task by task"


def _columns_of(view: str) -> list[str]:
    try:
        return [str(column) for column in json.loads(view)["selectedColumns"]]
    except (ValueError, TypeError, KeyError):  # there is none, or somebody has written what is none
        return []


def _with(params: Sequence[str], varied: Sequence[str]) -> list[str]:
    new = (f"params.`{key}`" for key in varied)
    return list(dict.fromkeys((*params, *new)))[:_MOST_PARAMS]
