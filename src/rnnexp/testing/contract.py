"""The contracts as classes of tests: subclass one, name a plugin, and run pytest.

from rnnexp.testing import CellContract

class TestMyCell(CellContract):
    name = "my_cell"
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from rnnexp.discovery import load_plugins
from rnnexp.registry import REGISTRY
from rnnexp.testing.cell_checks import STEP_CHECKS
from rnnexp.testing.checks import Check, DoesNotApplyError
from rnnexp.testing.loss_checks import LOSS_CHECKS
from rnnexp.testing.subject import CellSubject
from rnnexp.testing.task_checks import DATA_CHECKS, TaskSubject
from rnnexp.testing.time_checks import TIME_CHECKS

CELL_CHECKS = (*STEP_CHECKS, *TIME_CHECKS)
TASK_CHECKS = (*DATA_CHECKS, *LOSS_CHECKS)
C = TypeVar("C", bound=type)


def _with_tests(checks: Sequence[Check[Any]]) -> Callable[[C], C]:
    def add(cls: C) -> C:
        for check in checks:
            setattr(cls, f"test_{check.name}", _test_of(check))
        return cls

    return add


def _test_of(check: Check[Any]) -> Callable[[Any], None]:
    def test(self: Any) -> None:
        try:
            check.run(self.subject())
        except DoesNotApplyError as reason:
            _skip(str(reason))

    test.__doc__ = check.promise
    return test


def _skip(reason: str) -> None:
    import unittest  # whose skips pytest understands: this package does not need pytest

    raise unittest.SkipTest(reason)


@_with_tests(CELL_CHECKS)
class CellContract:
    """One test for each promise that a cell must keep.

    Set ``name`` to what the cell is registered under. Its file must be loaded: by
    ``$RNNEXP_PLUGINS``, as an entry point, or by importing it.
    """

    name: ClassVar[str]

    def subject(self) -> CellSubject:
        """Look the cell up."""
        load_plugins()
        return CellSubject(REGISTRY.get("cell", self.name))


@_with_tests(TASK_CHECKS)
class TaskContract:
    """One test for each promise that a task must keep; ``name`` as for a cell."""

    name: ClassVar[str]

    def subject(self) -> TaskSubject:
        """Look the task up."""
        load_plugins()
        return TaskSubject(REGISTRY.get("task", self.name))
