"""The jobs of a sweep, each with its identity and its folder."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rnnexp.app.config.build import run_name
from rnnexp.app.config.compose import Job
from rnnexp.app.config.identity import job_key
from rnnexp.app.config.untried import IsOver
from rnnexp.app.jobs.folder import FROZEN, SWEEPS, is_done, outcome_of
from rnnexp.app.run.run import flatten
from rnnexp.app.sweep.definition import default_name
from rnnexp.report.table import differing
from rnnexp.tracking import lost_from
from rnnexp.tracking.files import id_in, read_json
from rnnexp.tracking.outcome import Outcome

NOT_RUN = "not run"


@dataclass(frozen=True)
class Item:
    """One job of a sweep.

    Args:
        job: what it runs.
        key: its identity.
        folder: where it lives, whichever command runs it.
        own: the overrides that it does not share with the others and its name does not tell.
    """

    job: Job
    key: str
    folder: Path
    own: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of its run: with what tells it apart."""
        return " ".join((run_name(self.job.plan.values), *self.own))

    @property
    def outcome(self) -> Outcome:
        """How it ended; FAILED with a reason where it left nothing."""
        config = flatten(self.job.plan.values)
        return outcome_of(self.folder) or Outcome(
            self.name, str(self.folder), config=config, run_id=id_in(self.folder), error=NOT_RUN
        )


def without_lost(outcomes: Sequence[Outcome], uri: str) -> list[Outcome]:
    """Take the ids away that a store has no more: it was deleted, and is another now.

    Args:
        outcomes: of runs.
        uri: the store.
    """
    lost = lost_from(uri, [outcome.run_id for outcome in outcomes if outcome.run_id])
    return [replace(o, run_id=None) if o.run_id in lost else o for o in outcomes]


def items_of(jobs: Sequence[Job], folder: Path) -> list[Item]:
    """Give jobs their identities, and folders in that of their sweep."""
    shared = set(jobs[0].overrides).intersection(*(job.overrides for job in jobs))
    keys = [job_key(job.plan.values) for job in jobs]
    pairs = zip(jobs, keys, strict=True)
    return [Item(job, key, folder / key, _own_words(job, shared)) for job, key in pairs]


def over_in_sweep(overrides: Sequence[str]) -> IsOver:
    """Make what tells which jobs of a command's sweep are COMPLETE, by their configs.

    Their keys say that the config and the sources of the plugins are those that have run.

    Args:
        overrides: the command's, from which the sweep's name follows where none is given.
    """
    default = default_name(overrides)

    def is_over(values: Mapping[str, Any]) -> bool:
        folder = SWEEPS / str(values["sweep"]["name"] or default)
        return folder.is_dir() and is_done(folder / job_key(values))

    return is_over


def _own_words(job: Job, shared: Collection[str]) -> tuple[str, ...]:
    # Those that are not shared, and that its name does not tell.
    told = ("task", "cell", "clip", "seed")  # by the name that a run has anyway
    words = (word for word in job.overrides if word not in shared)
    return tuple(word for word in words if word.partition("=")[0] not in told)


def configs_of(items: Iterable[Item], earlier: Iterable[Path]) -> list[dict[str, str]]:
    """List the flattened configs of a sweep's jobs.

    Args:
        items: those of a command.
        earlier: the folders of those that earlier commands have begun.
    """
    frozen = [read_json(folder / FROZEN, needed=False).get("values") for folder in earlier]
    own = [item.job.plan.values for item in items]
    return [flatten(values) for values in (*frozen, *own) if values]


def varied_by(items: Iterable[Item], earlier: Iterable[Path]) -> tuple[str, ...]:
    """List the parameters that tell jobs apart, as a table of them does; see `configs_of`."""
    return tuple(differing(configs_of(items, earlier)))
