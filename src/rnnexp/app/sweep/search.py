"""A search: a sweep whose jobs Optuna suggests, one at a time."""

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from hydra_plugins.rnnexp_local_launcher._pool import Ended, Limits
from hydra_plugins.rnnexp_local_launcher._processes import Task
from hydra_plugins.rnnexp_optuna_sweeper._trials import Result
from hydra_plugins.rnnexp_optuna_sweeper.report import read_reports
from rnnexp.app.config.build import Plan, run_name
from rnnexp.app.config.compose import Corner, Job, compose_trial
from rnnexp.app.config.identity import job_key
from rnnexp.app.config.sources import contents
from rnnexp.app.jobs.folder import ENDS, PRUNED, State, state_of
from rnnexp.app.jobs.lease import BUSY
from rnnexp.app.sweep.items import Item, varied_by
from rnnexp.app.sweep.sweep import Sweep
from rnnexp.app.sweep.watch import JobTask, SweepWatcher
from rnnexp.errors import UserError
from rnnexp.files import DEFINITION
from rnnexp.report.words import rounded
from rnnexp.tracking import BEST, Tracking
from rnnexp.tracking.files import read_json, write_json
from rnnexp.tracking.outcome import Outcome

PICTURES = "search"
"""Folder of the plots among the artifacts."""


class Search(Sweep):
    """What ``rnnexp train -m hydra/sweeper=optuna`` asks for.

    Args:
        corners: configs at the edges of what is searched; they say how, and are not run.
        overrides: the command's.
        tracking: takes the records.
        tags: what is known of the command.
        config_dir: a further folder of configs that the overrides are read with.
    """

    def __init__(
        self,
        corners: Sequence[Corner],
        overrides: Sequence[str],
        tracking: Tracking,
        tags: Mapping[str, str],
        config_dir: str | None = None,
    ) -> None:
        super().__init__(corners, overrides, tracking, tags, config_dir)
        self.settings = corners[0].settings
        self._corners = self.all_items
        self.items, self.all_items = [], []
        self.refused: list[Outcome] = []
        self.unsuggested = self.settings.trials
        self.words = ""
        self.contents: dict[str, str] = {}
        for corner in corners:
            self.contents |= contents(corner.plan.values)
        self._defined = read_json(self.folder / DEFINITION)
        if self.settings.pruner != "none":
            self.reports = self.settings.objectives[0].removesuffix(BEST)
        self.tags["rnnexp.search.sampler"] = self.settings.sampler
        self.tags["rnnexp.search.pruner"] = self.settings.pruner
        self.tags["rnnexp.search.objectives"] = ", ".join(self.settings.objectives)

    @property
    def total(self) -> int:
        """How many jobs there will be: trials of one config are one job."""
        return len(self.items) + len(self.refused) + self.unsuggested

    @property
    def changed(self) -> list[str]:
        """What it is made of that has another content than when its trials so far were made."""
        before = self._defined.get("contents", {})
        return [name for name, now in self.contents.items() if before.get(name, now) != now]

    @property
    def outdated(self) -> str | None:
        """Why trials so far are none of this search, in words; None where they are."""
        if not self._defined:
            return "were made in a folder that is gone"
        changed = ", ".join(self.changed)
        return f"were made with other contents of {changed}" if changed else None

    @property
    def earlier(self) -> list[Path]:
        """The folders of jobs that earlier commands have begun, unless it begins anew."""
        return [] if self.outdated else super().earlier

    @property
    def whole(self) -> int:
        """How many they are with those that have ended under commands of other overrides."""
        return self.total + sum(self.reader.of(folder) in ENDS for folder in self.earlier)

    @property
    def outcomes(self) -> list[Outcome]:
        """How each job ended, also where its config could not be run."""
        return [*super().outcomes, *self.refused]

    @property
    def varied(self) -> tuple[str, ...]:
        """The parameters that are searched."""
        return varied_by(self._corners, self.earlier)

    def states(self) -> dict[str, State]:
        """Tell how far each job has come; one whose config could not be run has failed."""
        return {**super().states(), **{outcome.name: "failed" for outcome in self.refused}}

    def count(self, running: Collection[str] = ()) -> dict[str, int]:
        """Count all jobs, since the trials of all commands are those of one study."""
        return self.count_whole(running)

    def describe(self) -> str:
        """Say in a line how many trials are made, how, and for what."""
        how = self.settings
        aims = zip(how.directions, how.objectives, strict=True)
        pruned = "" if how.pruner == "none" else f", pruned by {how.pruner}"
        wanted = ", ".join(" ".join(aim) for aim in aims)
        return f"a search of {how.trials} trials by {how.sampler}{pruned}, to {wanted}"

    def definition(self) -> dict[str, Any]:
        """Say what it is, how many trials it is to have, how many there are, and made of what."""
        trials = self.settings.trials
        suggested = {"trials": trials, "suggested": trials - self.unsuggested}
        made_of = {**self._defined.get("contents", {}), **self.contents}
        return {**super().definition(), **suggested, "contents": made_of}

    @property
    def aim(self) -> tuple[str, str]:
        """The first objective, and its direction."""
        return self.settings.objectives[0], self.settings.directions[0]

    def best(self, outcomes: Sequence[Outcome]) -> dict[str, str]:
        """Name the best trial; with several objectives, say which trials no other beats."""
        if len(self.settings.objectives) == 1:
            return super().best(outcomes)
        return {"rnnexp.sweep.best": self.words} if self.words else {}

    def own_words(self, job: Job) -> tuple[str, ...]:
        """List what was chosen for a trial, and the rest of its name does not tell."""
        searched = {word.partition("=")[0] for corner in self._corners for word in corner.own}
        pairs = (word.partition("=") for word in job.overrides)
        return tuple(f"{key}={rounded(value)}" for key, _, value in pairs if key in searched)

    def add(self, item: Item) -> Item:
        """Take note of a trial; one of the same config is the same job."""
        for known in self.items:
            if known.key == item.key:
                return known
        self.items.append(item)
        return item

    def expect(self, left: int) -> None:
        """Take note of how many trials are still to be suggested; the first time, begin.

        Args:
            left: how many.
        """
        self.unsuggested = left
        if self.opened:
            self.define()
        else:
            self.open()
            print(f"rnnexp: {self.name}: {self.describe()}", file=sys.stderr)

    def refuse(self, overrides: Sequence[str], error: UserError) -> None:
        """Take note of a trial whose config cannot work."""
        name = f"{self.name} {' '.join(overrides)}"
        if all(outcome.name != name for outcome in self.refused):
            self.refused.append(Outcome(name, str(self.folder), error=str(error)))


class SearchTrials:
    """The trials of a search, as Optuna's sweeper takes them.

    Args:
        search: whose they are.
        watcher: shows how it goes.
        threads_of: tells the CPU threads of each.
        common: overrides that Hydra does not hand on.
    """

    def __init__(
        self,
        search: Search,
        watcher: SweepWatcher,
        threads_of: Callable[[Item], int],
        common: Sequence[str],
    ) -> None:
        self.search, self.watcher, self.threads_of = search, watcher, threads_of
        self.common = list(common)
        self.objectives = search.settings.objectives
        options = search.options
        self.limits = Limits(timeout=options["timeout"], fail_fast=options["fail_fast"])
        self.retry_failed = bool(options["retry_failed"])

    def prepare(self, number: int, overrides: Sequence[str]) -> Task | Result:
        """Freeze the job of a trial, unless what came of it is known."""
        suggested = self._item(number, overrides)
        if suggested is None:
            return Result("failed")
        item = self.search.add(suggested)
        state = state_of(item.folder)
        if state == "done":
            return Result("complete", _figures(item.outcome))
        if state == "pruned":
            self.search.judge(item, "its process ended early", None)
            return Result("pruned")
        if state == "failed" and not self.retry_failed:
            return Result("failed")
        if state == "running":
            self.search.others.note(item.folder)
        self.search.freeze(item, self.threads_of(item))
        return JobTask(item)

    def remember(self, number: int, overrides: Sequence[str]) -> None:
        """Count a trial that an earlier command has ended, if what it ran is still this job."""
        item = self._item(number, overrides)
        if item is not None and state_of(item.folder) in ENDS:
            self.search.add(item)

    @property
    def outdated(self) -> str | None:
        """Why the trials so far are none of this search, see `Search.outdated`."""
        return self.search.outdated

    def expect(self, left: int) -> None:
        """Take note of how many trials are still to be suggested, see `Search.expect`."""
        self.search.expect(left)

    def started(self, task: Task) -> None:
        """Have the display show it."""
        self.watcher.started(task)

    def reports(self, task: Task) -> Mapping[int, float]:
        """Read them from the job's folder."""
        return read_reports(cast(JobTask, task).item.folder)

    def prune(self, task: Task, step: int, value: float) -> bool:
        """Leave word for the job, which is asked to end next; after its last step it is not."""
        item = cast(JobTask, task).item
        if step >= item.job.plan.most_steps():  # only its test is left
            return False
        record = {"step": step, "figure": self.search.reports, "value": value}
        write_json(item.folder / PRUNED, record)
        return True

    def ended(self, ended: Ended) -> Result:
        """Judge a trial."""
        self.watcher.ended(ended)
        outcome = cast(JobTask, ended.task).item.outcome
        if outcome.status == "FINISHED":
            return Result("complete", _figures(outcome))
        if outcome.pruned:
            return Result("pruned")
        goes_on = ended.code == BUSY or outcome.status == "KILLED" or self.search.lost
        return Result("interrupted" if goes_on else "failed")

    def turn(self, running: Sequence[Task], waiting: int) -> None:
        """Move the display."""
        self.watcher.turn(running, waiting)

    def close(self, best: str, files: Sequence[Path]) -> None:
        """Put what was found into the record of the search."""
        self.search.words = best
        parent = self.search.open()
        parent.artifact(self.search.folder / DEFINITION)
        for file in files:
            parent.artifact(file, PICTURES if file.suffix == ".png" else "")

    def _item(self, number: int, overrides: Sequence[str]) -> Item | None:
        try:
            job = compose_trial([*self.common, *overrides])
            job = replace(job, plan=_named(job.plan, number))
            key = job_key(job.plan.values)
            return Item(job, key, self.search.folder / key, self.search.own_words(job))
        except UserError as error:
            self.search.refuse(overrides, error)
            self.watcher.say(f"{' '.join(overrides)}: {error}")
            return None


def _named(plan: Plan, number: int) -> Plan:
    # By the rest of the name all trials are one. The number stands first: tables cut the end off.
    name = f"trial{number}-{run_name(plan.values)}"
    return replace(
        plan, values={**plan.values, "tracking": {**plan.values["tracking"], "name": name}}
    )


def _figures(outcome: Outcome) -> dict[str, float]:
    return {**outcome.metrics, "seconds": outcome.seconds}
