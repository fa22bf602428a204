"""What makes a run this run: config, plugins, data, first weights. Same key, same figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnexp.app.config.sources import digests
from rnnexp.tracking import config_hash, is_outside_identity
from rnnexp.training.checkpoints import digest_of


def identity(values: Mapping[str, Any]) -> dict[str, Any]:
    """Take from a config what decides about the figures of a run."""
    # Of resume the file counts, not its name.
    return {key: value for key, value in _inside(values).items() if key != "resume"}


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
    resume = values["resume"]
    if resume and Path(resume).is_file():  # else it names an earlier part of this very run
        made_of["checkpoint"] = digest_of(Path(resume))
    return config_hash(made_of)
