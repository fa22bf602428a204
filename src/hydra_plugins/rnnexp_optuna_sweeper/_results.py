"""What a search has found: figures, words, and Optuna's own plots."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import optuna
from matplotlib.ticker import MaxNLocator
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hydra_plugins.rnnexp_optuna_sweeper._study import quiet

mpl.use("Agg")

import matplotlib.pyplot as plt  # after the backend is set
from optuna.visualization import matplotlib as drawing


def results_of(study: optuna.Study) -> dict[str, Any]:
    """List all trials, and which are the best."""
    trials = study.get_trials(deepcopy=False)
    return {
        "objectives": list(study.metric_names or []),
        "directions": [direction.name.lower() for direction in study.directions],
        "best": [trial.number for trial in best_of(study)],
        "trials": [
            {
                "number": trial.number,
                "state": trial.state.name,
                "values": trial.values,
                "params": trial.params,
                "reports": len(trial.intermediate_values),
            }
            for trial in trials
        ],
    }


def best_of(study: optuna.Study) -> list[FrozenTrial]:
    """Return the best trial; with several objectives, all that no other beats in every one."""
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return []
    return study.best_trials


def in_words(study: optuna.Study) -> str:
    """Say the best in a line each."""
    names = study.metric_names or []
    lines = [f"best of {len(study.trials)} trials:"]
    for trial in best_of(study):
        values = ", ".join(f"{n} {v:.4g}" for n, v in zip(names, trial.values, strict=True))
        params = " ".join(f"{key}={value}" for key, value in trial.params.items())
        lines.append(f"  trial {trial.number}: {values} | {params}")
    return "\n".join(lines) if len(lines) > 1 else "no trial has come to its end"


def draw(study: optuna.Study, folder: Path) -> list[Path]:
    """Draw Optuna's plots, as far as they are defined for what was found.

    Returns:
        The pictures.
    """
    files: list[Path] = []
    with quiet():
        for name, plot in _plots(study):
            file = folder / f"{name}.png"
            plot()
            figure = plt.gcf()
            figure.set_size_inches(10, 5.5)  # in Optuna's own size the axes' labels overlap
            figure.savefig(file, dpi=120, bbox_inches="tight")
            plt.close("all")
            files.append(file)
    return files


def _plots(study: optuna.Study) -> Iterator[tuple[str, Callable[[], Any]]]:
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not done:
        return
    names = list(study.metric_names or [])
    for i, name in enumerate(names):
        end = "" if len(names) == 1 else f"_{name.replace('/', '_')}"
        # Without a target Optuna adds the best value so far, which it knows of one objective only.
        how: dict[str, Any] = {"target": _value(i)} if end else {}
        how["target_name"] = name
        yield f"history{end}", lambda how=how: drawing.plot_optimization_history(study, **how)
        yield f"parallel{end}", lambda how=how: drawing.plot_parallel_coordinate(study, **how)
        if _varying(done, i):
            # Without a target, or of what is to be small: it asks what makes the target low.
            sign = 1 if study.directions[i] == StudyDirection.MINIMIZE else -1
            low: dict[str, Any] = {**how, "target": _value(i, sign)} if end else how
            yield f"importances{end}", lambda low=low: drawing.plot_param_importances(study, **low)
    if len(names) == 2:
        yield "pareto", lambda: drawing.plot_pareto_front(study)
    if any(trial.intermediate_values for trial in study.get_trials(deepcopy=False)):
        yield "reports", lambda: _draw_reports(study, names[0])


def _draw_reports(study: optuna.Study, objective: str) -> None:
    axes = drawing.plot_intermediate_values(study)
    # The best of a figure is judged by the figure itself, at each validation.
    axes.set(title="", xlabel="validation", ylabel=objective.removesuffix("_best"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _value(i: int, sign: int = 1) -> Callable[[FrozenTrial], float]:
    return lambda trial: sign * trial.values[i]


def _varying(trials: list[FrozenTrial], objective: int) -> bool:
    # Importance is defined where something varies, and the objective with it.
    params = any(len({str(t.params.get(key)) for t in trials}) > 1 for key in trials[0].params)
    return params and len({t.values[objective] for t in trials}) > 1
