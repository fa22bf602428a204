"""Jobs of a sweep that have run to their end: what their config means, without a trial of it."""

from collections.abc import Callable, Mapping
from typing import Any

from rnnexp.app.config.build import Plan, build_task, feedback_of, pattern_of

Values = Mapping[str, Any]
IsOver = Callable[[Values], bool]
"""Tells of the config of a job whether the job has run to its end with it."""


def never_run(values: Values) -> bool:
    """Say of every job that it has not run."""
    del values
    return False


def plan_of_over(values: Values) -> Plan:
    """Resolve ``auto`` in the config of a job that is over: it has been found to work.

    Args:
        values: the config.

    Raises:
        UserError: the task cannot be made, or does not take the readout or the feedback.
    """
    task = build_task(values)
    return Plan(values, task, pattern_of(values, task), feedback_of(values, task))
