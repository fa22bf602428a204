"""What makes a run this run: its config and the plugins it uses. The same key, the same figures."""

from collections.abc import Mapping
from typing import Any

from rnnexp.app.config.build import Plan
from rnnexp.app.config.sources import digests
from rnnexp.tracking import config_hash

_VARYING = ("resume", "plugin_dirs", "tracking", "sweep")
"""Groups of keys that do not change what is computed."""
_SHOWN = ("progress",)
"""Keys of the trainer that do not either."""


def identity(values: Mapping[str, Any]) -> dict[str, Any]:
    """Take from a config what decides about the figures of a run."""
    kept = {key: value for key, value in values.items() if key not in _VARYING}
    kept["trainer"] = {k: v for k, v in values["trainer"].items() if k not in _SHOWN}
    return kept


def job_key(plan: Plan) -> str:
    """Hash the identity of a run and the sources of its cell and task: 16 hexadecimal digits."""
    return config_hash({"config": identity(plan.values), "sources": digests(plan.values)})
