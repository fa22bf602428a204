"""The contract of a cell, promise by promise: what its methods return, its shapes and types."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from rnnexp.cells import Cell, MatrixCell, PointwiseCell, has_own_step
from rnnexp.discovery import place_of
from rnnexp.recurrence.shapes import check_recurrent_weight
from rnnexp.testing.checks import BrokenError
from rnnexp.testing.subject import B, CellSubject, I
from rnnexp.types import State

_LEADS = ((), (B,), (2, B))


def check_shapes(subject: CellSubject) -> None:
    """Any leading axes, in single and double precision: shapes and types are kept."""
    _check_sizes(subject)
    for dtype in (torch.float32, torch.float64):
        for cell in subject.in_each_mode(dtype):
            check_recurrent_weight(cell)
            # All of them first: a step from a state of too few axes would be blamed for its shapes.
            firsts = [_first_state(cell, lead, subject) for lead in _LEADS]
            for lead, state in zip(_LEADS, firsts, strict=True):
                _check_step(cell, torch.randn(*lead, I, dtype=dtype), state, subject)


def _check_sizes(subject: CellSubject) -> None:
    for size in (1, I):  # one number may be that of a word in a table
        found = subject.make(input_size=size).input_size
        if found != size:
            raise BrokenError(
                f"input_size={size} of a cell that is made for it",
                str(found),
                "Where W reads what project_input makes of the inputs, set self.input_size = "
                f"input_size after super().__init__(...). {subject.place}.",
            )


def _first_state(cell: Cell, lead: tuple[int, ...], subject: CellSubject) -> State:
    state = _tensors("initial_state", cell.initial_state(lead), subject)
    for i, tensor in enumerate(state):
        if tuple(tensor.shape[: len(lead)]) != lead:
            axes = "".join(f"{size}, " for size in lead)
            raise BrokenError(
                f"state[{i}] of shape ({axes}...) from initial_state({lead})",
                f"{tuple(tensor.shape)}",
                "Begin with the axes that it is given, as by self.zeros(batch_shape). "
                f"Look at initial_state of {subject.place}.",
            )
    return state


def _check_step(cell: Cell, x_BI: Tensor, state: State, subject: CellSubject) -> None:
    with _unpacked(cell, state, subject):
        out, new = _step_of(cell, x_BI, state, subject)
    if len(new) != len(state):
        raise BrokenError(
            f"{len(state)} state tensors, as initial_state makes",
            f"{len(new)} after a step",
            f"Look at step (or update, num_states) of {subject.place}.",
        )
    _same_form("output", out, (*x_BI.shape[:-1], subject.units()), x_BI.dtype, subject)
    for i, (before, after) in enumerate(zip(state, new, strict=True)):
        _same_form(f"state[{i}]", after, before.shape, before.dtype, subject)


def _step_of(cell: Cell, x_BI: Tensor, state: State, subject: CellSubject) -> tuple[Tensor, State]:
    if isinstance(cell, PointwiseCell) and not has_own_step(cell):
        products = cell.project_input(x_BI), cell.project_recurrent(state[0])
        _tensors("update", cell.update(*products, state), subject)
    return _pair(cell.step(x_BI, state), subject)


def _pair(returned: object, subject: CellSubject) -> tuple[Tensor, State]:
    look = f"Look at step of {subject.place}."
    if not (isinstance(returned, (tuple, list)) and len(returned) == 2):
        raise BrokenError(
            "a pair from step: the output, and the tuple of state tensors",
            _form(returned),
            f"End it as in `return h_BH, (h_BH,)`. {look}",
        )
    out, new = returned
    if not isinstance(out, Tensor):
        raise BrokenError("a tensor as the output of step", _form(out), look)
    return out, _tensors("step", new, subject)


def _tensors(method: str, returned: object, subject: CellSubject) -> State:
    if isinstance(returned, (tuple, list)) and all(isinstance(t, Tensor) for t in returned):
        return tuple(returned)
    raise BrokenError(
        f"a tuple of state tensors from {method}",
        _form(returned),
        f"Return (h,) where there is one. Look at {method} of {subject.place}.",
    )


def _form(returned: object) -> str:
    if returned is None:
        return "None, as from a method without `return`"
    if isinstance(returned, (tuple, list)):
        return f"({', '.join(type(part).__name__ for part in returned)})"
    return f"a {type(returned).__name__}"


@contextmanager
def _unpacked(cell: Cell, state: State, subject: CellSubject) -> Generator[None]:
    """Say what there is to unpack where a line takes apart another number of values."""
    try:
        yield
    except ValueError as error:
        if "to unpack" not in str(error):
            raise
        counts = f"num_gates is {cell.num_gates}, " if isinstance(cell, MatrixCell) else ""
        counts += f"the number of state tensors {len(state)}"
        place = place_of(error, {str(subject.entry.file)}) or subject.place
        raise BrokenError(
            "as many names as there are values to unpack",
            str(error),
            f"Here {counts}: which does {place} take apart?",
        ) from error


def _same_form(
    what: str, tensor: Tensor, shape: Sequence[int], dtype: torch.dtype, subject: CellSubject
) -> None:
    found, wanted = tuple(tensor.shape), tuple(shape)
    if found != wanted:
        hint = "Select gates by unbind(-2), not by a fixed axis."
    elif tensor.dtype != dtype:
        hint = "Keep the type of the weights: make tensors by x.new_zeros, zeros_like or self.zeros"
        hint += ", and convert none."
    else:
        return
    expected, seen = f"{what} of shape {wanted}, {dtype}", f"{found}, {tensor.dtype}"
    raise BrokenError(expected, seen, f"{hint} Look at {subject.place}.")
