"""The trials of a program that knows nothing of the search."""

from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from hydra_plugins.rnnexp_local_launcher._hydra import HydraTask
from hydra_plugins.rnnexp_local_launcher._pool import Ended
from hydra_plugins.rnnexp_optuna_sweeper._trials import HydraTrials


def task_of(number: int) -> HydraTask:
    nothing, folder = cast(Any, None), Path(str(number))
    return HydraTask(nothing, nothing, OmegaConf.create(), [f"x={number}"], folder, number)


def state_of(trials: HydraTrials, task: HydraTask) -> str:
    return trials.ended(Ended(task, code=1, signum=None, seconds=1.0)).state


def test_only_a_trial_that_was_pruned_counts_as_pruned() -> None:
    trials = HydraTrials(cast(Any, None), ["loss"], 20)
    first = task_of(0)
    trials.prune(first, 1, 0.5)
    assert state_of(trials, first) == "pruned"
    del first  # another task may lie where it lay
    assert {state_of(trials, task_of(number)) for number in range(1, 20)} == {"failed"}


def test_a_trial_that_is_run_again_is_not_pruned_any_more() -> None:
    trials = HydraTrials(cast(Any, None), ["loss"], 2)
    trials.prune(task_of(0), 1, 0.5)
    assert [state_of(trials, task_of(0)) for _ in range(2)] == ["pruned", "failed"]
