"""What the record of a sweep says of it as a whole."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rnnexp.app.sweep.unwritten import write_summary
from rnnexp.files import JOURNAL
from rnnexp.tracking import Comparison, RunHeader, RunLog, provenance
from rnnexp.tracking.outcome import Outcome

if TYPE_CHECKING:
    from rnnexp.app.sweep.sweep import Sweep


def header_of(sweep: "Sweep") -> RunHeader:
    """Say what is known of a sweep before its jobs are run; their own records are below its."""
    tags = {**provenance(Path.cwd()), **sweep.tags, "rnnexp.sweep.name": sweep.name}
    tags["rnnexp.sweep.jobs"] = str(sweep.whole)
    figure, direction = sweep.aim or (None, "minimize")
    return RunHeader(
        sweep.name,
        sweep.experiment,
        {"sweep.name": sweep.name},
        tags,
        continues=(sweep.folder / JOURNAL).is_file(),
        compared=Comparison(sweep.varied, figure, direction == "minimize"),
    )


def summarise(sweep: "Sweep", parent: RunLog, outcomes: Sequence[Outcome]) -> None:
    """Put into the record how many jobs have finished, the best of them, and how each ended.

    Args:
        sweep: whose they are.
        parent: its record.
        outcomes: of its jobs, of those of earlier commands, too.
    """
    pruned = sum(outcome.pruned for outcome in outcomes)
    finished = f"{sum(outcome.status == 'FINISHED' for outcome in outcomes)} of {sweep.whole}"
    best = sweep.best(outcomes)
    words = best.get("rnnexp.sweep.best")
    lines = [f"**{finished}** runs finished{f', {pruned} pruned' if pruned else ''}"]
    lines += [*_cliffs(outcomes), *([f"Best: {words}"] if words else [])]
    parent.tags(
        {
            "rnnexp.sweep.finished": finished,
            "rnnexp.sweep.jobs": str(sweep.whole),
            **best,
            "mlflow.note.content": "\n\n".join(lines),
        }
    )
    file = write_summary(sweep.folder, outcomes)
    if file is not None:
        parent.artifact(file)


def _cliffs(outcomes: Sequence[Outcome]) -> list[str]:
    counts = [int(o.metrics["cliffs/count"]) for o in outcomes if "cliffs/count" in o.metrics]
    if not counts:  # no run has come so far that its gradients were watched
        return []
    found = sum(map(bool, counts))
    where = f"{sum(counts)} in {found} of" if found else "none in"
    return [f"Cliffs: {where} {len(counts)} runs."]
