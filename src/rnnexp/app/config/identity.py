"""What makes a run this run: its config, plugins and first weights. Same key, same figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnexp.app.config.build import Plan
from rnnexp.app.config.sources import digests
from rnnexp.tracking import config_hash
from rnnexp.training.checkpoints import digest_of

_VARYING = ("resume", "plugin_dirs", "tracking", "sweep")
"""Groups of keys that do not change what is computed; of resume the file counts, not its name."""
_SHOWN = ("progress",)
"""Keys of the trainer that do not either."""


def identity(values: Mapping[str, Any]) -> dict[str, Any]:
    """Take from a config what decides about the figures of a run."""
    kept = {key: value for key, value in values.items() if key not in _VARYING}
    kept["trainer"] = {k: v for k, v in values["trainer"].items() if k not in _SHOWN}
    return kept


def job_key(plan: Plan) -> str:
    """Hash a run: its identity, its plugins' sources, the checkpoint file that it starts from.

    Args:
        plan: of the run.

    Returns:
        16 hexadecimal digits.
    """
    made_of: dict[str, Any] = {"config": identity(plan.values), "sources": digests(plan.values)}
    resume = plan.values["resume"]
    if resume and Path(resume).is_file():  # else it names an earlier part of this very run
        made_of["checkpoint"] = digest_of(Path(resume))
    return config_hash(made_of)
