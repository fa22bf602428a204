"""What a journal holds: one JSON object per line, each with a ``kind``."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rnnexp.tracking.views import Comparison

Status = Literal["FINISHED", "FAILED", "KILLED"]
Record = dict[str, Any]
ERROR_TAG = "rnnexp.error"
"""Why a run did not finish."""


@dataclass(frozen=True)
class RunHeader:
    """What is known of a run before its first step.

    Args:
        name: shown in MLflow.
        experiment: MLflow experiment.
        params: the flattened config.
        tags: where the run comes from.
        run_id: an existing MLflow run that goes on; None creates one.
        continues: the run whose journal stands in the folder goes on.
        parent_key: key of the record of the sweep it belongs to.
        compared: of a sweep, how its runs are compared.
    """

    name: str
    experiment: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    run_id: str | None = None
    continues: bool = False
    parent_key: str | None = None
    compared: Comparison | None = None


def start_record(header: RunHeader, key: str, uri: str, artifacts: str | None, now: int) -> Record:
    """Make the first record of a journal.

    Args:
        header: the run.
        key: unique to the run, so that the store can be asked whether it has the run already.
        uri: the store it goes to.
        artifacts: URI of the folder for artifacts of a new experiment; None leaves it to the store.
        now: milliseconds since 1970.
    """
    return {
        "kind": "start",
        "key": key,
        "uri": uri,
        "artifacts": artifacts,
        "time": now,
        "name": header.name,
        "experiment": header.experiment,
        "params": dict(header.params),
        "tags": dict(header.tags),
        "run_id": header.run_id,
        "continues": header.continues,
        "parent_key": header.parent_key,
        "compared": header.compared and asdict(header.compared),
    }


def metrics_record(values: Mapping[str, float], step: int, now: int) -> Record:
    """Make the record of some figures at a step."""
    return {"kind": "metrics", "step": step, "time": now, "values": dict(values)}


def profile_record(values: Mapping[str, Sequence[float]], step: int) -> Record:
    """Make the record of norms over time at a step; it stays in the journal.

    Nine digits are all that float32 holds, and half of what a float takes as text.
    """
    short = {key: [float(f"{norm:.9g}") for norm in norms] for key, norms in values.items()}
    return {"kind": "profile", "step": step, "values": short}


def tags_record(values: Mapping[str, str]) -> Record:
    """Make the record of some tags."""
    return {"kind": "tags", "values": dict(values)}


def artifact_record(run: Path, path: Path, folder: str) -> Record:
    """Make the record of a file to be copied to the store."""
    run, path = run.resolve(), path.resolve()
    # What lies in the run's folder moves with it.
    place = path.relative_to(run) if path.is_relative_to(run) else path
    return {"kind": "artifact", "path": str(place), "folder": folder}


def end_record(status: Status, reason: str | None, now: int) -> Record:
    """Make the last record of a journal."""
    return {"kind": "end", "status": status, "reason": reason, "time": now}


def milliseconds() -> int:
    """Return the time now, in milliseconds since 1970, as MLflow counts it."""
    return time.time_ns() // 1_000_000
