"""Which run of a store belongs to which sweep, in whatever order the store gets them.

A sweep and its jobs are delivered by several processes, now and then one long before the other.
Each first makes itself known and then looks for the other: whichever comes second sees the first.
"""

from collections.abc import Mapping
from typing import Protocol

from rnnexp.tracking.records import Record

KEY = "rnnexp.key"
"""Tag of every run: what its journal calls it."""
PARENT_KEY = "rnnexp.parent_key"
"""Tag of a job's run: the key of its sweep."""
BEST_KEY = "rnnexp.sweep.best_key"
"""Tag of a sweep's run: the key of the best of its jobs."""
BEST_RUN = "rnnexp.sweep.best_run"
"""Tag of a sweep's run: the id that the store has given to the best of its jobs."""
PARENT = "mlflow.parentRunId"


class Runs(Protocol):
    """What is asked of a store."""

    def find(self, experiment: str, tag: str, value: str) -> list[str]:
        """List the active runs of an experiment that have a tag of this value, the oldest first."""
        ...

    def tags_of(self, run_id: str) -> Mapping[str, str] | None:
        """Return the tags of an active run; None where it is deleted or not there."""
        ...

    def put_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags."""
        ...

    def delete_tag(self, run_id: str, key: str) -> None:
        """Delete a tag, if there is one."""
        ...


class Family:
    """Keep the tags that tie sweeps and jobs together true.

    Args:
        runs: the store's.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._parents: dict[tuple[str, str], str] = {}

    def tags_for(self, experiment: str, parent_key: str | None) -> dict[str, str]:
        """Make the tags of a job's run before it is created; none for any other run."""
        if not parent_key:
            return {}
        parent = self._parent(experiment, parent_key)
        return {PARENT_KEY: parent_key, **({PARENT: parent} if parent else {})}

    def join(self, experiment: str, run_id: str, start: Record) -> None:
        """Tie a run that the store has now to those that it had before.

        Args:
            experiment: of the run.
            run_id: of the run.
            start: its start record, with the tags that it was given.
        """
        if start.get("parent_key"):
            self._join_parent(experiment, run_id, start)
        elif start.get("compared"):
            self._take_children(experiment, run_id, str(start["key"]))

    def name_best(self, experiment: str, parent: str, key: str) -> None:
        """Give a sweep the id of its best job; none where the store does not have that yet.

        Args:
            experiment: of both.
            parent: id of the sweep's run, which has the key as a tag.
            key: of the best job.
        """
        # Deleted first: the job may come, and name itself, while it is looked for.
        self._runs.delete_tag(parent, BEST_RUN)
        for found in self._runs.find(experiment, KEY, key)[:1]:
            self._runs.put_tags(parent, {BEST_RUN: found})

    def _join_parent(self, experiment: str, run_id: str, start: Record) -> None:
        key = str(start["parent_key"])
        parent = self._parent(experiment, key)
        tags = self._runs.tags_of(parent) if parent else None
        if parent and tags is None:  # deleted meanwhile: the sweep may have another one by now
            del self._parents[experiment, key]
            parent = self._parent(experiment, key)
            tags = self._runs.tags_of(parent) if parent else None
        if parent and start["tags"].get(PARENT) != parent:
            self._runs.put_tags(run_id, {PARENT: parent})
        if parent and tags and tags.get(BEST_KEY) == start["key"] and tags.get(BEST_RUN) != run_id:
            self._runs.put_tags(parent, {BEST_RUN: run_id})

    def _take_children(self, experiment: str, run_id: str, key: str) -> None:
        self._parents[experiment, key] = run_id
        all_children = self._runs.find(experiment, PARENT_KEY, key)
        own = set(self._runs.find(experiment, PARENT, run_id)) if all_children else set[str]()
        for child in all_children:
            if child not in own:
                self._runs.put_tags(child, {PARENT: run_id})

    def _parent(self, experiment: str, key: str) -> str | None:
        place = experiment, key
        if place not in self._parents:
            found = self._runs.find(experiment, KEY, key)
            if found:
                self._parents[place] = found[0]
        return self._parents.get(place)
