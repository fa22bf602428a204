"""What a search asks of the program whose trials it makes; and any Hydra program's answer."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from hydra.core.utils import JobReturn, JobStatus

from hydra_plugins.rnnexp_local_launcher._hydra import HydraTask, Lines, hydra_task
from hydra_plugins.rnnexp_local_launcher._pool import Ended, Limits
from hydra_plugins.rnnexp_local_launcher._processes import Task
from hydra_plugins.rnnexp_optuna_sweeper.report import read_reports, reports_of

if TYPE_CHECKING:
    from hydra_plugins.rnnexp_local_launcher.local_launcher import LocalLauncher

State = Literal["complete", "pruned", "failed", "interrupted"]


@dataclass(frozen=True)
class Result:
    """What came of a trial.

    Args:
        state: interrupted trials go on when the search is started again.
        values: its figures by name.
    """

    state: State
    values: Mapping[str, float] = field(default_factory=dict[str, float])


class Trials(Protocol):
    """Makes the trials of a program, and says what came of them."""

    limits: Limits
    objectives: Sequence[str]

    @property
    def outdated(self) -> str | None:
        """Why the trials of the study so far are none of this search; None where they are."""
        ...

    def prepare(self, number: int, overrides: Sequence[str]) -> Task | Result:
        """Make the task of a trial; or say what came of it, if that is known."""
        ...

    def remember(self, number: int, overrides: Sequence[str]) -> None:
        """Take note of a trial that an earlier command has ended."""
        ...

    def expect(self, left: int) -> None:
        """Take note of how many trials have not been asked of `prepare` yet.

        The first call begins the search: it comes after `remember`, when nothing refuses it.
        """
        ...

    def started(self, task: Task) -> None:
        """Take note of a start."""
        ...

    def reports(self, task: Task) -> Mapping[int, float]:
        """Return what a running trial has reported, by step."""
        ...

    def prune(self, task: Task, step: int, value: float) -> bool:
        """Take note that a trial is about to be ended; or say that it is not, being over anyway."""
        ...

    def ended(self, ended: Ended) -> Result:
        """Say what came of a trial."""
        ...

    def turn(self, running: Sequence[Task], waiting: int) -> None:
        """Called many times a second."""
        ...

    def close(self, best: str, files: Sequence[Path]) -> None:
        """Take note of the end of the search.

        Args:
            best: the best trials, in words.
            files: what was written about the search.
        """
        ...


class HydraTrials:
    """The trials of a program that knows nothing of this sweeper.

    Its function returns a number, several, or a mapping of names to numbers.

    Args:
        launcher: has what a job needs.
        objectives: names of what the function returns.
        total: how many trials there will be.
    """

    def __init__(self, launcher: "LocalLauncher", objectives: Sequence[str], total: int) -> None:
        self.launcher = launcher
        self.objectives = objectives
        self.limits = Limits()
        self.lines = Lines(total)
        self.outdated = None
        self._pruned: set[Path] = set()

    def prepare(self, number: int, overrides: Sequence[str]) -> Task | Result:
        """Make a job in a folder of its own."""
        task = hydra_task(self.launcher, list(overrides), number)
        done = task.left()
        if done is not None and done.status == JobStatus.COMPLETED:
            return self._judge(task, done, "was done before")
        if task.is_of_others:
            (task.folder / reports_of(number)).unlink(missing_ok=True)
        return task

    def remember(self, number: int, overrides: Sequence[str]) -> None:
        """Count it."""
        del number, overrides
        self.lines.done += 1

    def expect(self, left: int) -> None:
        """Say nothing."""

    def started(self, task: Task) -> None:
        """Say nothing."""

    def reports(self, task: Task) -> Mapping[int, float]:
        """Read them from the job's folder."""
        job = cast(HydraTask, task)
        return read_reports(job.folder, reports_of(job.number))

    def prune(self, task: Task, step: int, value: float) -> bool:
        """Remember it."""
        del step, value
        self._pruned.add(task.log)  # each has its own, which outlives it
        return True

    def ended(self, ended: Ended) -> Result:
        """Say what the function has returned."""
        task = cast(HydraTask, ended.task)
        pruned = task.log in self._pruned
        self._pruned.discard(task.log)
        if pruned and not ended.succeeded:
            self.lines.say(task, "pruned")
            return Result("pruned")
        if ended.succeeded:
            return self._judge(task, task.left(), str(ended))
        self.lines.ended(ended)
        return Result("interrupted" if ended.was_stopped else "failed")

    def turn(self, running: Sequence[Task], waiting: int) -> None:
        """Say nothing."""

    def close(self, best: str, files: Sequence[Path]) -> None:
        """Say the best."""
        del files
        print(best)

    def _judge(self, task: HydraTask, done: JobReturn | None, how: str) -> Result:
        value = None if done is None else done.return_value  # none of a process that left early
        figures = _figures(value, self.objectives)
        if all(math.isfinite(figures.get(name, 0.0)) for name in self.objectives):
            self.lines.say(task, how)
            return Result("complete", figures)
        self.lines.say(
            task, f"failed: it returned {value!r:.80}, and a search takes finite numbers"
        )
        return Result("failed")


def _figures(value: Any, objectives: Sequence[str]) -> dict[str, float]:
    if isinstance(value, Mapping):
        return {str(key): _number(figure) for key, figure in value.items()}
    several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return {name: _number(v) for name, v in zip(objectives, several, strict=False)}


def _number(value: Any) -> float:
    try:
        return float(value)
    except Exception:  # whatever its type raises
        return math.nan
