"""How a run ended, kept as ``summary.json`` in its folder."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal

from rnnexp.files import SUMMARY
from rnnexp.tracking.family import BEST_KEY
from rnnexp.tracking.files import id_in, write_json
from rnnexp.tracking.lookup import key_of
from rnnexp.tracking.provenance import is_outside_identity

_GROUPS = ("task.name", "cell.name", "clip.by")
_SETTINGS = (*_GROUPS, "cell.hidden_size", "optimizer.lr", "seed")
"""Settings that are told of each run."""
NO_BEST = "none: its runs are of several tasks, whose losses have different units"


@dataclass
class Outcome:
    """What a person asks of a finished run.

    Args:
        name: the run's name.
        folder: where its files are.
        status: as in MLflow.
        config: the values that tell runs of a sweep apart.
        metrics: validation, test and gradient figures at the end.
        seconds: from the first step to the last figure, without the time that it lay still.
        run_id: MLflow's, if the store has answered.
        error: why it failed.
        pruned: whether a search ended it, because others do better; its status is KILLED.
        job: key of what it computes; runs of one key are the same run, made again.
        sources: hashes of the sources of its plugins, by kind; of callbacks by name, too.
    """

    name: str
    folder: str
    status: Literal["FINISHED", "FAILED", "KILLED"] = "FAILED"
    config: dict[str, str] = field(default_factory=dict[str, str])
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    seconds: float = 0.0
    run_id: str | None = None
    error: str | None = None
    pruned: bool = False
    job: str | None = None
    sources: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def well(self) -> bool:
        """Whether nothing went wrong."""
        return self.status == "FINISHED" or self.pruned

    @property
    def baseline(self) -> float | None:
        """What a guess costs on the validation split; None where the figures do not say."""
        loss, share = (self.metrics.get(f"val/{name}") for name in ("loss", "loss_relative"))
        return loss / share if loss and share and math.isfinite(loss) else None

    def figure(self, name: str) -> float | None:
        """Look a figure up; one over the baseline is made of the loss where the run has none."""
        if name in self.metrics or "val/loss_relative" not in name or not self.baseline:
            return self.metrics.get(name)
        loss = self.metrics.get(name.replace("loss_relative", "loss", 1))
        return None if loss is None else loss / self.baseline

    @property
    def how(self) -> str:
        """How it ended, in a line."""
        return f"{self.name} {self.status}: {self.error}"

    def write(self) -> None:
        """Write ``summary.json``."""
        write_json(Path(self.folder, SUMMARY), asdict(self), indent=1)

    @staticmethod
    def read(file: Path) -> "Outcome":
        """Read a ``summary.json``, be its folder moved, or a later version its writer.

        Raises:
            ValueError, TypeError, AttributeError: it is none.
        """
        values = json.loads(file.read_text(encoding="utf-8"))
        known = {field.name for field in fields(Outcome)}
        outcome = Outcome(**{key: value for key, value in values.items() if key in known})
        outcome.folder = str(file.parent)
        # A job of a sweep did not wait for the store's answer, and a store may be another since.
        outcome.run_id = id_in(file.parent) or outcome.run_id
        return outcome


def describe_outcome(outcome: Outcome, overrides: Iterable[str] = ()) -> str:
    """Describe a run in markdown, for the page that MLflow shows of it: first what came of it.

    Args:
        outcome: how it ended.
        overrides: what it was asked for by, with what a sweep varies.
    """
    config, metrics = outcome.config, outcome.metrics
    settings = [f"{key}={config[key]}" for key in _SETTINGS if key in config]
    settings += [word for word in overrides if _is_further(word.partition("=")[0].lstrip("+~"))]
    results = [f"{k} {v:.4g}" for k, v in metrics.items() if k.startswith("test/")]
    lines = [f"**{outcome.status}**  {outcome.error or ''}".rstrip(), *_cliffs(metrics)]
    lines += [", ".join(results)] if results else []
    return "\n\n".join([*lines, f"`{' '.join(settings)}`"])


def _is_further(key: str) -> bool:
    told = {*_SETTINGS, *(setting.partition(".")[0] for setting in _GROUPS)}
    return key not in told and not is_outside_identity(key)


def _cliffs(metrics: Mapping[str, float]) -> list[str]:
    if "cliffs/count" not in metrics:  # it ended before its gradients were watched
        return []
    count = int(metrics["cliffs/count"])
    if "cliffs/largest" not in metrics:  # there is none, or none of a finite norm
        return [f"Gradient cliffs: {count}."]
    largest, step = metrics["cliffs/largest"], int(metrics["cliffs/largest_step"])
    return [f"Gradient cliffs: {count}, the largest {largest:.3g} at step {step}."]


def best_of(outcomes: Sequence[Outcome], figure: str, direction: str) -> Outcome | None:
    """Find the run with the best of a figure; None if no run has finished with it."""
    values = [o.figure(figure) if o.status == "FINISHED" else None for o in outcomes]
    known = {place: value for place, value in enumerate(values) if value is not None}
    choose = min if direction == "minimize" else max
    return outcomes[choose(known, key=known.__getitem__)] if known else None


def best_by(outcomes: Sequence[Outcome], aim: tuple[str, str] | None) -> dict[str, str]:
    """Name the best run, as tags; the store puts its own id to the key.

    Args:
        outcomes: of runs.
        aim: the figure, and its direction; None where runs have none in common, which is said: an
            earlier command may have named one.
    """
    if aim is None:
        return {"rnnexp.sweep.best": NO_BEST, BEST_KEY: ""}
    best = best_of(outcomes, *aim)
    if best is None:
        return {}
    words = f"{best.name}, {aim[0]} {best.figure(aim[0]):.4g}"
    return {"rnnexp.sweep.best": words, BEST_KEY: key_of(Path(best.folder)) or ""}
