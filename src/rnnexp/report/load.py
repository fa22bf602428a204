"""Find finished runs by their ``summary.json``."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Summary:
    """What ``summary.json`` holds; see `rnnexp.app.outcome.Outcome`."""

    name: str
    folder: str
    status: str
    config: dict[str, str]
    metrics: dict[str, float]
    seconds: float
    run_id: str | None
    error: str | None


def load_summaries(root: Path) -> list[Summary]:
    """Load every run at or below a folder, oldest first."""
    files = sorted(root.rglob("summary.json"), key=lambda file: file.stat().st_mtime)
    return [_load(file) for file in files]


def _load(file: Path) -> Summary:
    summary = Summary(**json.loads(file.read_text(encoding="utf-8")))
    summary.folder = str(file.parent)  # the folder may have been moved
    return summary
