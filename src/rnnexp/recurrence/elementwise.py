"""Whether an `update` keeps rows and units apart, as seen from the operators that it calls.

A few random numbers show what mixes units always. They do not show a sum over units behind a relu
that they do not open, nor the other way of a branch.
"""

import inspect
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence.unseen import UnseenReads

_ROWS = (11, 13, 17)
"""How many rows it is tried on: the first number by which no other axis can be mistaken."""
LOOKS = frozenset(("_local_scalar_dense", "equal", "is_nonzero", "nonzero"))
"""What gives Python a value to branch on."""
_MOVES = frozenset(
    """
    alias as_strided cat clone contiguous copy_ detach empty_like expand fill_ full_like
    lift_fresh_copy new_empty new_full new_ones new_zeros ones_like permute repeat select
    select_scatter slice slice_scatter split split_with_sizes squeeze stack t transpose unbind
    unfold unsqueeze view zeros_like _reshape_alias _to_copy _unsafe_view
    """.split()  # noqa: SIM905  # a list of words
)
"""What computes nothing: where it mixes units it does so for any numbers."""
_ALONG = frozenset(
    """
    amax amin argmax argmin cumprod cumsum flip gather index_select linalg_vector_norm logsumexp max
    mean min prod roll sort std sum var _log_softmax _softmax
    """.split()  # noqa: SIM905
)
"""What computes along axes, which are the second argument."""
_AXES_AT = {"linalg_vector_norm": 2, "roll": 2}
"""Where they are another."""


def reason_against_update(cell: PointwiseCell) -> str | None:
    """Say by which operator an update mixes rows or units, or looks at values; None if by none.

    Args:
        cell: on the CPU.
    """
    rows = next(n for n in _ROWS if n not in (cell.hidden_size, cell.num_gates))
    like = cell.weight_ih.detach()
    products = [torch.randn(rows, cell.num_gates, cell.hidden_size).to(like) for _ in range(2)]
    state = tuple(torch.randn(rows, cell.hidden_size).to(like) for _ in range(cell.num_states))
    seen = _Operators(cell, rows, (*products, *state))
    with torch.no_grad(), UnseenReads(seen.note_read), seen:
        cell.update(products[0], products[1], state)
    return seen.reason


class _Operators(TorchDispatchMode):
    """Looks at each operator that is given what depends on the data, or gives Python a value.

    That of a parameter or a buffer, too: it may decide on the way, and be another in a twin of the
    cell, or later.
    """

    def __init__(self, cell: PointwiseCell, rows: int, data: Sequence[Tensor]) -> None:
        super().__init__()
        self.reason: str | None = None
        self._cell, self._rows = cell, rows
        # Held, so that no other tensor gets the name of one that is gone.
        self._data = {id(tensor): tensor for tensor in data}

    def note_read(self, method: str, tensor: Tensor) -> None:
        """Note a look at values that is no operator."""
        del method, tensor
        self.reason = self.reason or self._looks()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operator, and note what speaks against it."""
        del types
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        of_data = [t for t in _tensors((args, kwargs)) if id(t) in self._data]
        if torch.Tag.nondeterministic_seeded in func.tags:  # of whatever it draws the form
            self.reason = self.reason or f"it draws random numbers{_place(self._cell)}"
        if name_of(func) in LOOKS:
            self.reason = self.reason or self._looks()
        elif of_data:
            self._data |= {id(tensor): tensor for tensor in _tensors(result)}
            self.reason = self.reason or self._against(func, args, kwargs)
        return result

    def _against(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
        name = name_of(func)
        along_gates = name in _ALONG and self._is_of_gates(name, args, kwargs)
        if torch.Tag.pointwise in func.tags or name in _MOVES or along_gates:
            return None
        return f"{name}{_place(self._cell)} mixes units or rows"

    def _looks(self) -> str:
        return f"it looks at a value{_place(self._cell)}, of which its way may depend"

    def _is_of_gates(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        at, shape = _AXES_AT.get(name, 1), args[0].shape
        axes = args[at] if len(args) > at else kwargs.get("dim")
        if axes is None or isinstance(axes, Tensor):
            return False
        found = [axis % len(shape) for axis in ([axes] if isinstance(axes, int) else axes)]
        return bool(found) and not any(self._is_own(shape, axis) for axis in found)

    def _is_own(self, shape: Sequence[int], axis: int) -> bool:
        # Whether it is the axis of rows or of units; there may be as many gates as units.
        between = 0 < axis < len(shape) - 1
        return shape[axis] == self._rows or (shape[axis] == self._cell.hidden_size and not between)


def name_of(func: Any) -> str:
    """Name an operator without its namespace and overload."""
    return func._schema.name.rpartition("::")[2]


def _tensors(found: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor))


def _place(cell: PointwiseCell) -> str:
    """Say at which line of the cell's file an operator was called, where that can be found."""
    try:
        file = inspect.getfile(type(cell).update)
    except TypeError:  # not written in a file
        return ""
    line = line_in(file)
    return "" if line is None else f" ({file}:{line})"


def line_in(file: str) -> int | None:
    """Give the number of the line of a file that is being run, the innermost; None if none is."""
    frames = (frame for frame, _ in traceback.walk_stack(None))
    return next((frame.f_lineno for frame in frames if frame.f_code.co_filename == file), None)
