"""Small files that are either old or new, never half: the cursor and the run's id."""

import json
import os
from pathlib import Path
from typing import Any

CURSOR = "cursor.json"
RUN = "run.json"


def write_json(path: Path, value: Any) -> None:
    """Replace a file in one step: write beside it, sync, rename."""
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Read a file of `write_json`; an empty mapping where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
