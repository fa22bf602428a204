"""Which of torch's operators a step calls, and at which line of the plugin's file."""

import linecache
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rnnexp.cells import Cell
from rnnexp.recurrence.elementwise import LOOKS, line_in, name_of
from rnnexp.recurrence.unseen import UnseenReads
from rnnexp.testing.subject import B, CellSubject, I, random_state


def calls_of(cell: Cell, subject: CellSubject) -> list[tuple[str, int]]:
    """List what a step calls from the plugin's file: name of the operator, number of the line."""
    seen = _Calls(str(subject.entry.file))
    x_BI, state = torch.randn(B, I, dtype=torch.float64), random_state(cell, (B,))
    with torch.no_grad(), UnseenReads(seen.note_read), seen:
        cell.step(x_BI, state)
    return seen.found


def value_read(subject: CellSubject) -> str | None:
    """Say where a step looks at the value of a tensor, and what to do; None if nowhere."""
    calls = calls_of(subject.make(), subject)
    line = next((line for name, line in calls if name in LOOKS), None)
    if line is None:
        return None
    file = str(subject.entry.file)
    code = linecache.getline(file, line).strip()
    what = "`if` on" if code.startswith(("if ", "elif ")) else f"`{code}` looks at"
    return f"{what} the value of a tensor at {file}:{line}: use torch.where, element by element."


class _Calls(TorchDispatchMode):
    def __init__(self, file: str) -> None:
        super().__init__()
        self.found: list[tuple[str, int]] = []
        self._file = file

    def note_read(self, method: str, tensor: Tensor) -> None:
        """Note a look at values that is no operator, as the one that `item` calls."""
        del method, tensor
        self._note("_local_scalar_dense")

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operator, and note where it was called."""
        del types
        self._note(name_of(func))
        return func(*args, **(kwargs or {}))

    def _note(self, name: str) -> None:
        line = line_in(self._file)
        if line is not None:
            self.found.append((name, line))
