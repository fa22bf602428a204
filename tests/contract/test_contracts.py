"""What every registered plugin must keep; the list is the registry, so a new plugin is in it."""

import pytest

from rnnexp.discovery import load_plugins
from rnnexp.registry import REGISTRY, Entry
from rnnexp.testing import (
    CALLBACK_CHECKS,
    CELL_CHECKS,
    TASK_CHECKS,
    CallbackSubject,
    CellSubject,
    Check,
    TaskSubject,
)
from rnnexp.testing.checks import DoesNotApplyError

load_plugins()
JUDGED = [check for check in CELL_CHECKS if check.name != "speed"]
"""That of the speed tells, and cannot fail."""


def pairs(kind, checks):
    return [
        pytest.param(
            entry,
            check,
            id=f"{entry.name}-{check.name}",
            marks=[pytest.mark.slow] if check.is_long else [],
        )
        for entry in REGISTRY.all(kind)
        for check in checks
    ]


def keep(check: Check, subject: object) -> None:
    try:
        check.run(subject)
    except DoesNotApplyError as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize(("entry", "check"), pairs("cell", JUDGED))
def test_cell(entry: Entry, check: Check) -> None:
    keep(check, CellSubject(entry))


@pytest.mark.parametrize(("entry", "check"), pairs("task", TASK_CHECKS))
def test_task(entry: Entry, check: Check) -> None:
    keep(check, TaskSubject(entry))


@pytest.mark.parametrize(("entry", "check"), pairs("callback", CALLBACK_CHECKS))
def test_callback(entry: Entry, check: Check) -> None:
    keep(check, CallbackSubject(entry))
