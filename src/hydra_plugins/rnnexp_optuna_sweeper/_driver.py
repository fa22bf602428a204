"""The loop of a search: a trial that has ended frees its place, and the next one is suggested."""

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import optuna
from optuna.trial import Trial, TrialState

from hydra_plugins.rnnexp_local_launcher._pool import Ended, Pool
from hydra_plugins.rnnexp_local_launcher._processes import Task
from hydra_plugins.rnnexp_optuna_sweeper._file import UnwritableError
from hydra_plugins.rnnexp_optuna_sweeper._settings import Settings, hint
from hydra_plugins.rnnexp_optuna_sweeper._space import Dimension, SearchError
from hydra_plugins.rnnexp_optuna_sweeper._study import distributions_of
from hydra_plugins.rnnexp_optuna_sweeper._trials import Result, Trials

LOOK_SECONDS = 0.1
"""How often the reports of running trials are read."""


@dataclass
class _Run:
    trial: Trial
    task: Task
    overrides: tuple[str, ...]
    steps: set[int] = field(default_factory=set[int])
    twins: list[Trial] = field(default_factory=list[Trial])
    pruned: bool = False


class Driver:
    """Suggests trials, watches them, and tells the study what came of them.

    Args:
        study: of Optuna.
        settings: of the search.
        fixed: overrides that all trials have.
        space: what is searched.
        trials: of the program.
        left: how many trials are still to be suggested.
    """

    def __init__(
        self,
        study: optuna.Study,
        settings: Settings,
        fixed: Sequence[str],
        space: Sequence[Dimension],
        trials: Trials,
        left: int,
    ) -> None:
        self.study, self.settings, self.trials, self.left = study, settings, trials, left
        self.fixed, self.space = list(fixed), space
        self.distributions = distributions_of(space)
        self.pool: Pool | None = None
        self._runs: list[_Run] = []
        self._looked = 0.0
        self._unwritable: UnwritableError | None = None
        self._interrupted: deque[Trial] = deque()
        self._known: dict[tuple[str, ...], list[float] | None] = {}
        """What values came to, None where they failed in this search: neither is run again."""
        for frozen in study.get_trials(deepcopy=False):
            if frozen.state == TrialState.RUNNING:
                number: int = frozen._trial_id  # pyright: ignore[reportPrivateUsage]
                self._interrupted.append(Trial(study, number))
            elif frozen.state.is_finished() and frozen.params.keys() == self.distributions.keys():
                self._remember(frozen)
        self._expect()

    def supply(self) -> Task | None:
        """Make the next task; None while there is none to be made."""
        while (trial := self._next_trial()) is not None:
            run = self._prepare(trial)
            self._expect()
            if run is not None:
                self._runs.append(run)
                return run.task
        return None

    def started(self, task: Task) -> None:
        """Tell the program whose trial it is."""
        self.trials.started(task)

    def ended(self, ended: Ended) -> bool:
        """Tell the study what came of a trial, and of those with the same values."""
        run = next(run for run in self._runs if run.task is ended.task)
        result = self.trials.ended(ended)
        self._runs.remove(run)
        try:
            self._report(run)
            for trial in (run.trial, *run.twins):
                self._tell(trial, run.overrides, result)
        except UnwritableError as error:  # the others that run are still to be judged
            self._unwritable = error
        return result.state != "failed"  # one that is interrupted goes on

    def turn(self, running: Sequence[Task], waiting: int) -> None:
        """Look at the reports of running trials, and end those that do badly.

        Raises:
            UnwritableError: what came of a trial cannot be told to the study.
        """
        if self._unwritable is not None:
            raise self._unwritable
        now = time.monotonic()
        if self.settings.pruner != "none" and now - self._looked > LOOK_SECONDS:
            self._looked = now
            for run in self._runs:
                self._judge(run)
        self.trials.turn(running, waiting + self.left)

    def _next_trial(self) -> Trial | None:
        if self._interrupted:
            return self._interrupted.popleft()
        if self.left <= 0:
            return None
        self.left -= 1
        return self.study.ask(self.distributions)

    def _expect(self) -> None:
        self.trials.expect(max(0, self.left) + len(self._interrupted))

    def _prepare(self, trial: Trial) -> _Run | None:
        overrides = self._overrides(_completed(trial, self.distributions))
        for run in self._runs:
            if run.overrides == overrides:
                run.twins.append(trial)
                return None
        if overrides in self._known:
            self._tell(trial, overrides, self._result(self._known[overrides]))
            return None
        made = self.trials.prepare(trial.number, [*self.fixed, *overrides])
        if isinstance(made, Result):
            self._tell(trial, overrides, made)
            return None
        frozen = self.study.get_trials(deepcopy=False)[trial.number]
        seen = self.trials.reports(made) if frozen.intermediate_values else {}
        return _Run(trial, made, overrides, set(list(seen)[: len(frozen.intermediate_values)]))

    def _result(self, values: list[float] | None) -> Result:
        if values is None:
            return Result("failed")
        return Result("complete", dict(zip(self.settings.objectives, values, strict=True)))

    def _overrides(self, params: Mapping[str, object]) -> tuple[str, ...]:
        return tuple(dimension.override(params[dimension.name]) for dimension in self.space)

    def _remember(self, frozen: optuna.trial.FrozenTrial) -> None:
        overrides = self._overrides(frozen.params)
        if frozen.state == TrialState.COMPLETE:
            self._known[overrides] = list(frozen.values)
        self.trials.remember(frozen.number, [*self.fixed, *overrides])

    def _judge(self, run: _Run) -> None:
        latest = self._report(run)
        if latest is None or run.pruned or self.pool is None or not run.trial.should_prune():
            return
        if self.trials.prune(run.task, *latest):
            run.pruned = True
            self.pool.ask(run.task)

    def _report(self, run: _Run) -> tuple[int, float] | None:
        latest: tuple[int, float] | None = None
        if self.settings.pruner == "none":
            return latest
        for step, value in self.trials.reports(run.task).items():
            if step in run.steps:
                continue
            run.steps.add(step)
            # Counted, not by the step of the program: Hyperband's resource begins with 1.
            run.trial.report(value, len(run.steps))
            latest = (step, value)
        return latest

    def _tell(self, trial: Trial, overrides: tuple[str, ...], result: Result) -> None:
        if result.state == "interrupted":
            return
        if result.state == "complete":
            values = self._objectives(result.values)
            if all(map(math.isfinite, values)):
                self._known[overrides] = values
                self.study.tell(trial, values)
                return
        pruned = result.state == "pruned"
        if not pruned:
            self._known[overrides] = None
        self.study.tell(trial, state=TrialState.PRUNED if pruned else TrialState.FAIL)

    def _objectives(self, values: Mapping[str, float]) -> list[float]:
        for name in self.settings.objectives:
            if name not in values:
                raise SearchError(
                    f"hydra.sweeper.objectives: a trial has ended without a figure '{name}'. "
                    f"{hint(name, values)}"
                )
        return [float(values[name]) for name in self.settings.objectives]


def _completed(
    trial: Trial, distributions: Mapping[str, optuna.distributions.BaseDistribution]
) -> Mapping[str, object]:
    # A kill between two of its values leaves the rest to be suggested now.
    if trial.params.keys() == distributions.keys():
        return trial.params
    return {name: trial._suggest(name, d) for name, d in distributions.items()}  # pyright: ignore[reportPrivateUsage]
