"""The contract of a cell, promise by promise: the axes of a batch, each row of which is its own."""

from collections.abc import Callable

import torch

from rnnexp.cells import Cell, PointwiseCell, has_own_step
from rnnexp.testing.calls import value_read
from rnnexp.testing.checks import BrokenError, Check, DoesNotApplyError
from rnnexp.testing.subject import (
    B,
    CellSubject,
    I,
    T,
    as_leaf,
    check_equal,
    flat,
    gradients,
    random_state,
)


def check_leading_axes(subject: CellSubject) -> None:
    """Two leading axes give what a loop over the first gives."""
    cell = subject.make()
    _check_projection(cell, subject)
    x, state = torch.randn(2, B, I, dtype=torch.float64), random_state(cell, (2, B))
    whole = flat(cell.step(x, state))
    parts = [flat(cell.step(x[k], tuple(s[k] for s in state))) for k in range(2)]
    for a, pair in zip(whole, zip(*parts, strict=True), strict=True):
        check_equal(
            a, torch.stack(pair), 1e-12, "one step over (2, B) equal to two over (B)", subject
        )


def _check_projection(cell: Cell, subject: CellSubject) -> None:
    if not isinstance(cell, PointwiseCell) or has_own_step(cell):
        return
    if type(cell).project_input is PointwiseCell.project_input:
        return
    x = torch.randn(T, 2, B, I, dtype=torch.float64)
    steps = torch.stack([cell.project_input(x_BI) for x_BI in x])
    expected = "project_input of all time steps at once equal to that of each"
    check_equal(cell.project_input(x), steps, 1e-12, expected, subject)


def check_rows(subject: CellSubject) -> None:
    """Row b of the batch depends on row b only."""
    cell = subject.make()
    x = torch.randn(B, I, dtype=torch.float64, requires_grad=True)
    state = tuple(as_leaf(s) for s in random_state(cell, (B,)))
    leaves = [x, *(s for s in state if s.requires_grad)]
    grads = gradients(cell.step(x, state)[0][0].sum(), leaves)
    if any(bool(grad[1:].any()) for grad in grads):
        raise BrokenError(
            "row 0 of the output to depend on row 0 of input and state only",
            "derivatives by other rows",
            f"Look for means, norms or products over the batch axis in {subject.place}.",
        )
    _check_more_rows(cell, subject)
    if not any(bool(grad[0].any()) for grad in grads):
        raise BrokenError("an output that depends on its input or state", "none", subject.place)


def _check_more_rows(cell: Cell, subject: CellSubject) -> None:
    # How many rows there are has no derivative.
    x, state = torch.randn(2 * B, I, dtype=torch.float64), random_state(cell, (2 * B,))
    whole = flat(cell.step(x, state))
    few = flat(cell.step(x[:B], tuple(s[:B] for s in state)))
    expected = f"one step over {B} rows equal to the first rows of one over {2 * B}"
    for a, b in zip(few, whole, strict=True):
        check_equal(a, b[:B], 1e-12, expected, subject)


def _or_branch(run: Callable[[CellSubject], None]) -> Callable[[CellSubject], None]:
    """Name a branch on a tensor's value where there is one: all rows go the same way by it."""

    def check(subject: CellSubject) -> None:
        try:
            run(subject)
        except BrokenError as broken:
            read = value_read(subject)
            if read is None:
                raise
            raise BrokenError(broken.expected, broken.seen, read) from broken

    return check


BATCH_CHECKS: tuple[Check[CellSubject], ...] = (
    Check(
        "leading_axes",
        "further leading axes equal a loop over them",
        _or_branch(check_leading_axes),
    ),
    Check("rows", "row b depends on row b only", _or_branch(check_rows)),
)


def keep_rows_apart(subject: CellSubject) -> None:
    """Refuse to judge a cell that mixes rows: on other numbers of rows it is another.

    Raises:
        DoesNotApplyError: names the check that says so.
    """
    for check in BATCH_CHECKS:
        try:
            check.run(subject)
        except BrokenError as broken:
            raise DoesNotApplyError(f"{check.name} fails, see there") from broken
