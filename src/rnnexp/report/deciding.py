"""What decides between runs: the objectives of their search, else the loss that names the best."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from rnnexp.tracking import BEST, usual_aim
from rnnexp.tracking.files import read_json
from rnnexp.tracking.outcome import Outcome

_RESULTS = "search.json"
"""Of a search: its objectives, and its trials."""
_TRIAL = re.compile(r"trial(\d+)-")


def deciding(runs: Sequence[Outcome]) -> dict[str, str]:
    """Name the figures that runs have and are compared by, and their headings."""
    parents = dict.fromkeys(Path(run.folder).parent for run in runs)
    searched = {parent: names for parent in parents if (names := _objectives_in(parent))}
    others = [run for run in runs if Path(run.folder).parent not in searched]
    objectives = dict.fromkeys(name for names in searched.values() for name in names)
    found = [*_had(others, _usual(others)), *_had(runs, objectives)]
    return {name: _heading(name) for name in found}


def trials_of(runs: Sequence[Outcome]) -> list[str]:
    """Give the number that each run has as a trial of a search; none where no run is one."""
    found = [_TRIAL.match(run.name) for run in runs]
    return [match[1] if match else "" for match in found] if any(found) else []


def _objectives_in(folder: Path) -> list[str]:
    return [str(name) for name in read_json(folder / _RESULTS, needed=False).get("objectives", ())]


def _usual(runs: Sequence[Outcome]) -> list[str]:
    baselines = [run.baseline for run in runs if run.baseline]
    aim = usual_aim([run.config for run in runs], baselines)
    return [aim[0]] if aim else []


def _had(runs: Sequence[Outcome], names: Iterable[str]) -> list[str]:
    return [name for name in names if any(run.figure(name) is not None for run in runs)]


def _heading(figure: str) -> str:
    words = figure.removesuffix(BEST).replace("/", " ").replace("_", " ")
    return f"best {words}" if figure.endswith(BEST) else words
