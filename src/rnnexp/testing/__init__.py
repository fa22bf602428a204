"""What every plugin must keep, for ``rnnexp check``, for this project's tests and for yours."""

from rnnexp.testing.callback_checks import CALLBACK_CHECKS, CallbackSubject
from rnnexp.testing.checks import BrokenError, Check, DoesNotApplyError, Finding, examine
from rnnexp.testing.contract import CELL_CHECKS, TASK_CHECKS, CellContract, TaskContract
from rnnexp.testing.subject import CellSubject
from rnnexp.testing.task_checks import TaskSubject

__all__ = [
    "CALLBACK_CHECKS",
    "CELL_CHECKS",
    "TASK_CHECKS",
    "BrokenError",
    "CallbackSubject",
    "CellContract",
    "CellSubject",
    "Check",
    "DoesNotApplyError",
    "Finding",
    "TaskContract",
    "TaskSubject",
    "examine",
]
