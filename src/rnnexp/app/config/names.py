"""Names that become folders, or that a store must take."""

from collections.abc import Mapping
from typing import Any

from rnnexp.errors import ConfigError

_LONGEST = 200


def check_names(values: Mapping[str, Any]) -> None:
    """Refuse a name of a sweep that is no folder's, and an experiment without a name.

    Args:
        values: a whole config, types checked.

    Raises:
        ConfigError: says which name, and what it must be.
    """
    experiment, sweep = str(values["tracking"]["experiment"]), values["sweep"]["name"]
    if not experiment.strip():
        raise ConfigError(
            "tracking.experiment: is empty, and MLflow takes no experiment without a name. "
            "Give one, or leave the key out for 'rnnexp'."
        )
    if sweep is not None and not _names_a_folder(str(sweep)):
        raise ConfigError(
            f"sweep.name={sweep}: must name a folder in outputs/sweeps. Use at most {_LONGEST} "
            "printable characters, without / and \\, and neither . nor .. alone."
        )


def _names_a_folder(name: str) -> bool:
    whole = name.strip() == name and name.isprintable() and len(name.encode()) <= _LONGEST
    return whole and name not in (".", "..") and not set(name) & {"/", "\\"}
