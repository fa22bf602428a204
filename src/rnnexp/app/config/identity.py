"""What makes a run this run: config, plugins, data, first weights. Same key, same figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnexp.app.config.pretrained import pretrained_by
from rnnexp.app.config.sources import digests
from rnnexp.tracking import config_hash, is_outside_identity
from rnnexp.training.checkpoints import digest_of


def identity(values: Mapping[str, Any]) -> dict[str, Any]:
    """Take from a config what decides about the figures of a run."""
    # Of checkpoints the file counts, not its name.
    inside = {key: value for key, value in _inside(values).items() if key != "resume"}
    inside["model"].pop("init_from", None)
    return inside


def _inside(values: Mapping[str, Any], group: str = "") -> dict[str, Any]:
    return {
        key: _inside(value, f"{group}{key}.") if isinstance(value, dict) else value
        for key, value in values.items()
        if not is_outside_identity(f"{group}{key}")
    }


def job_key(values: Mapping[str, Any]) -> str:
    """Hash a run: its config, plugins' sources, files that options name, and first checkpoint.

    Args:
        values: the config.

    Returns:
        16 hexadecimal digits.
    """
    made_of: dict[str, Any] = {"config": identity(values), "sources": digests(values)}
    # Where resume is no file, it names an earlier part of this very run.
    resume = Path(values["resume"]) if values["resume"] else None
    for name, file in (("checkpoint", resume), ("weights", pretrained_by(values))):
        if file is not None and file.is_file():
            made_of[name] = digest_of(file)
    return config_hash(made_of)
