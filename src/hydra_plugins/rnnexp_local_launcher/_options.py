"""What the options of a launcher may be: types are Hydra's affair, values are looked at here."""

import math
from collections.abc import Mapping
from typing import Any

from hydra_plugins.rnnexp_local_launcher._processes import LauncherError

_ABOVE_ZERO = (
    *("jobs", "threads", "jobs_per_gpu", "timeout", "timeout_min", "poll_seconds"),
    *("array_parallelism", "num_cpus", "object_store_mb", "connect_seconds", "mem_gb"),
)
_FROM_ZERO = ("stagger", "retries", "cpus", "num_gpus", "signal_delay_s", "max_num_timeout")
_STARTS = ("auto", "fork", "spawn")


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse values with which a launcher cannot work.

    Args:
        options: those of any launcher of this project.

    Raises:
        LauncherError: the first that is wrong, in words.
    """
    for names, lowest in ((_ABOVE_ZERO, "above 0"), (_FROM_ZERO, "0 or more")):
        for name in names:
            value = options.get(name)
            if value is not None and not _fits(value, lowest):
                raise LauncherError(
                    f"hydra.launcher.{name}: must be a finite number {lowest}, got {value}."
                )
    if options.get("start", "auto") not in _STARTS:
        raise LauncherError(
            f"hydra.launcher.start={options['start']} is unknown. Known: {', '.join(_STARTS)}."
        )
    _check_times(options)


def _fits(value: float, lowest: str) -> bool:
    return math.isfinite(value) and (value > 0 or (value == 0 and lowest == "0 or more"))


def _check_times(options: Mapping[str, Any]) -> None:
    if "signal_delay_s" not in options:
        return
    delay, limit = options["signal_delay_s"], options["timeout_min"]
    if delay >= 60 * limit:
        raise LauncherError(
            f"hydra.launcher.signal_delay_s={delay}: a job would be told of its time limit, "
            f"timeout_min={limit:g}, before it begins. Give less than {60 * limit:g} seconds."
        )
