"""The jobs of a sweep, each with its identity and its folder."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from rnnexp.app.config.build import run_name
from rnnexp.app.config.compose import Job
from rnnexp.app.jobs.folder import outcome_of
from rnnexp.app.jobs.outcome import Outcome
from rnnexp.app.run.run import flatten
from rnnexp.tracking.files import RUN, read_json

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
        unknown = Outcome(self.name, str(self.folder), config=config, error=NOT_RUN)
        found = outcome_of(self.folder) or unknown
        found.run_id = read_json(self.folder / RUN).get("run_id", found.run_id)
        return found


def own_words(job: Job, shared: Collection[str]) -> tuple[str, ...]:
    """List the overrides of a job that are not shared, and that its name does not tell."""
    told = ("task", "cell", "clip", "seed")  # by the name that a run has anyway
    words = (word for word in job.overrides if word not in shared)
    return tuple(word for word in words if word.partition("=")[0] not in told)


def varied_by(items: Sequence[Item]) -> tuple[str, ...]:
    """List the parameters that tell the jobs apart, beside those that their names tell anyway."""
    words = (word.lstrip("+").partition("=")[0] for item in items for word in item.own)
    known = set().union(*(flatten(item.job.plan.values) for item in items))
    return tuple(key for key in dict.fromkeys(words) if key in known)
