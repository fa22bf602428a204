"""A sweep: its jobs, which of them are left to do, its record above theirs."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rnnexp.app.config.compose import Job
from rnnexp.app.config.figures import aim_of
from rnnexp.app.config.sources import write_sources
from rnnexp.app.jobs.folder import (
    JOB_KEY,
    REMOVED,
    SWEEPS,
    Frozen,
    State,
    counted,
    outcomes_of,
)
from rnnexp.app.jobs.lease import Lease, times_let_go
from rnnexp.app.jobs.log import begin_log
from rnnexp.app.jobs.store import home_of
from rnnexp.app.sweep.definition import begun_in, default_name
from rnnexp.app.sweep.held import is_lost, lost, take
from rnnexp.app.sweep.items import NOT_RUN, Item, items_of, varied_by, without_lost
from rnnexp.app.sweep.judge import judge, open_record, was_removed
from rnnexp.app.sweep.others import Others
from rnnexp.app.sweep.record import header_of, summarise
from rnnexp.app.sweep.states import StateReader
from rnnexp.app.sweep.unwritten import Unwritten
from rnnexp.files import DEFINITION, JOURNAL
from rnnexp.tracking import RunLog, Status, Tracking, delivered
from rnnexp.tracking.files import write_json
from rnnexp.tracking.outcome import Outcome, best_by


class Sweep:
    """What ``rnnexp train -m`` asks for.

    Args:
        jobs: all of them, checked.
        overrides: the command's, from which the name follows where none is given.
        tracking: takes the records.
        tags: what is known of the command.
        config_dir: a further folder of configs that the overrides are read with.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        overrides: Sequence[str],
        tracking: Tracking,
        tags: Mapping[str, str],
        config_dir: str | None = None,
    ) -> None:
        values = jobs[0].plan.values
        self.options: Mapping[str, Any] = values["sweep"]
        self.name = str(self.options["name"] or default_name(overrides))
        self.overrides = list(overrides)
        self.config_dir = str(Path(config_dir).resolve()) if config_dir else None
        self.folder = SWEEPS / self.name
        self.tracking = tracking
        self.tags = dict(tags)
        self.experiment = str(values["tracking"]["experiment"])
        self.all_items = items_of(jobs, self.folder)
        self.items = list({item.key: item for item in self.all_items}.values())
        self.told: set[Path] = set()  # folders of jobs whose failure has been said, and why
        self.others = Others()
        self.reader = StateReader()
        self.lease: Lease | None = None
        self.status: Status | None = None
        self.reports: str | None = None
        self._parent: RunLog | None = None
        self._begun: list[Path] = []
        self._unwritten = Unwritten()

    @property
    def total(self) -> int:
        """How many jobs there will be."""
        return len(self.items)

    @property
    def opened(self) -> bool:
        """Whether this command has begun its record, or gone on with it."""
        return self._parent is not None

    @property
    def earlier(self) -> list[Path]:
        """The folders of jobs that earlier commands have begun, and this one does not ask for."""
        own = {item.folder for item in self.items}
        return [folder for folder in self._begun if folder not in own]

    @property
    def whole(self) -> int:
        """How many jobs the sweep has with those of earlier commands."""
        return self.total + len(self.earlier)

    @property
    def outcomes(self) -> list[Outcome]:
        """How each job ended, with the ids that the store has now."""
        return without_lost([item.outcome for item in self.items], self.tracking.uri)

    def with_earlier(self, own: Sequence[Outcome]) -> list[Outcome]:
        """List how the jobs of earlier commands ended, and then those of these that did."""
        ended = [outcome for outcome in own if outcome.error != NOT_RUN]
        return [*without_lost(outcomes_of(self.earlier), self.tracking.uri), *ended]

    @property
    def aim(self) -> tuple[str, str] | None:
        """The figure by which jobs are compared, whether to minimize it; None for several tasks."""
        return aim_of([item.job.plan for item in self.items], outcomes_of(self.earlier))

    @property
    def varied(self) -> tuple[str, ...]:
        """The parameters that tell jobs of the sweep apart, whichever command asked for them."""
        return varied_by(self.all_items, self.earlier)

    def how(self, outcome: Outcome) -> str:
        """Say how a job ended; the reason is not said again."""
        if Path(outcome.folder) in self.told:
            return f"{outcome.name} {outcome.status}, as said above"
        self.told.add(Path(outcome.folder))
        return outcome.how

    def describe(self) -> str:
        """Say in a line what is asked for."""
        return f"{self.total} jobs"

    def definition(self) -> dict[str, Any]:
        """Say what the sweep is, for whoever asks for it by name."""
        keys = [item.key for item in self.items]
        read_with = {"overrides": self.overrides, "config_dir": self.config_dir}
        earlier = [folder.name for folder in self.earlier]
        return {"name": self.name, **read_with, "jobs": keys, "earlier": earlier}

    def define(self) -> None:
        """Write down what the sweep is."""
        write_json(self.folder / DEFINITION, self.definition(), indent=1)

    def best(self, outcomes: Sequence[Outcome]) -> dict[str, str]:
        """Name the best job, as tags."""
        return best_by(outcomes, self.aim)

    def states(self) -> dict[str, State]:
        """Tell how far each job has come, by key."""
        return {item.key: self.reader.of(item.folder) for item in self.items}

    def left(self) -> list[Item]:
        """List the jobs that are to be run now.

        Those that another process is at work on come last: one whose sweep was killed is saving
        its state, and goes on then; one that has not ended by then is left to it.
        """
        wanted = {"new", "interrupted"} | ({"failed"} if self.options["retry_failed"] else set())
        states = self.states()
        busy = [item for item in self.items if states[item.key] == "running"]
        for item in busy:
            self.others.note(item.folder)
        return [*(item for item in self.items if states[item.key] in wanted), *busy]

    def undelivered(self, left: Collection[Item]) -> list[Path]:
        """List the folders of jobs whose records the store lacks: a queue went on without us.

        Args:
            left: those that are run now, whose records are begun or gone on with.
        """
        states = self.states()
        over = [i.folder for i in self.items if i not in left and states[i.key] != "running"]
        return [f for f in over if (f / JOURNAL).is_file() and not delivered(f)]

    def hold(self) -> None:
        """Keep other commands off the sweep.

        Raises:
            ConfigError: another has it.
        """
        self.lease = self.lease or take(self.folder)

    def open(self) -> RunLog:
        """Begin the record of the sweep, or go on with it if the sweep was started before."""
        if self._parent is None:
            self.hold()
            self._begun = begun_in(self.folder)
            self.define()
            self.experiment = home_of(self.folder, self.tracking.uri, self.experiment)
            # No thread of its own: this process is copied for every job.
            self._parent = self.tracking.open_run(self.folder, header_of(self), background=False)
            self._parent.artifact(self.folder / DEFINITION)
        return self._parent

    @property
    def lost(self) -> bool:
        """Whether another command has it, with folder and record, or the folder was removed."""
        return self.lease is not None and is_lost(self.lease)

    def beat(self) -> None:
        """Give a sign of life, and write what the disk has refused so far.

        Raises:
            RunError: it is lost.
        """
        if self.lost:
            raise lost(self.folder)
        if self.lease is not None:
            self.lease.beat()
        self._unwritten.write()

    def freeze(self, item: Item, threads: int) -> None:
        """Put everything that a process needs to run a job into the job's folder.

        The sources of its plugins too: their files may have been edited when the job begins.
        """
        tags = {**self.tags, JOB_KEY: item.key, "rnnexp.sweep.name": self.name}
        tags["rnnexp.overrides"] = shlex.join(item.job.overrides)
        values = dict(item.job.plan.values)
        here = {"name": item.name, "experiment": self.experiment}
        values["tracking"] = {**values["tracking"], **here}
        of_sweep = (self.tracking.uri, self.open().key, threads, self.reports)
        Frozen(values, tags, *of_sweep, times_let_go(item.folder)).write(item.folder)
        write_sources(values, item.folder)
        begin_log(item.folder)

    def judge(self, item: Item, how: str, code: int | None, **by: bool) -> Outcome:
        """Say how a job has ended, also where its process could not; see `judge`."""
        if was_removed(item.folder):
            how, code = REMOVED, None
            self.freeze(item, threads=1)  # for its record: a retry freezes it anew
        opened = partial(open_record, item, self.experiment, self.tracking)
        outcome = judge(item, how, code, opened, self._unwritten.take, **by)
        self.reader.forget(item.folder)
        return outcome

    def count(self, running: Collection[str] = ()) -> dict[str, int]:
        """Count the jobs by what has become of them.

        Args:
            running: keys of those that count as running, whatever their files say by now.
        """
        return counted(self.states(), running, self.total)

    def count_whole(self, running: Collection[str]) -> dict[str, int]:
        """Count the jobs of earlier commands, too; see `count`."""
        states = self.states()
        states.update((folder.name, self.reader.of(folder)) for folder in self.earlier)
        return counted(states, running, self.whole)

    def tell(self, running: Collection[str] = ()) -> None:
        """Put the counts, of earlier commands' jobs too, into the record of the sweep."""
        counts = self.count_whole(running)
        self.open().tags({f"rnnexp.sweep.{k}": str(v) for k, v in counts.items()})

    def close(self, stopped: bool) -> None:
        """End the record: counts, the best job, a summary of all; of earlier commands', too.

        Args:
            stopped: whether a signal has ended the command.
        """
        self.reader.let_go()
        if self.lost:
            return
        if self._parent is not None:
            self._end(self._parent, stopped)
        if self.lease is not None:
            self.lease.release()

    def _end(self, parent: RunLog, stopped: bool) -> None:
        self._unwritten.close()
        self.tell()
        # First who is still at work, then what came out: a job may end in between.
        elsewhere = {item.key for item in self.items if self.others.have(item.folder)}
        outcomes = self.outcomes
        summarise(self, parent, self.with_earlier(outcomes))
        done = sum(outcome.well for outcome in outcomes)
        others = sum(not o.well and Path(o.folder).name in elsewhere for o in outcomes)
        whole = done + others >= self.total
        self.status = "KILLED" if stopped else "FINISHED" if whole else "FAILED"
        parent.end(self.status, None if whole else f"{done} of {self.total} runs finished")
