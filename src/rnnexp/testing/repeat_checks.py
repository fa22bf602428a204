"""The contract of a cell, promise by promise: whether its figures are numbers that come again.

Where they are not, each of the checks after these would fail, and say something else.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from rnnexp.cells import Cell
from rnnexp.recurrence import choose_backend
from rnnexp.recurrence.generators import generators_kept
from rnnexp.testing.checks import BrokenError, Check, same_tensor
from rnnexp.testing.subject import B, CellSubject, I, T, flat, random_state, run_all
from rnnexp.types import State

_Held = Mapping[str, Tensor]
"""By where they lie, such as ``log[2]``. As long as it is held, no other has their ids."""


def check_stateless(subject: CellSubject) -> str | None:
    """A step keeps nothing and changes nothing: the same call gives the same bits.

    Random numbers count to what is given: drawn from where the generators stood, they are the same.
    """
    for cell in subject.in_each_mode():
        _check_first_state(cell, subject)
        _check_repeats(cell, subject)
    if not subject.draws:
        return None
    backend = choose_backend(subject.make().train())
    return f"it draws in training, run by {backend}; what follows is asked in evaluation"


def _check_repeats(cell: Cell, subject: CellSubject) -> None:
    x, state = _drawn(cell, B)
    others = _drawn(cell, 7)
    given = {"x": x, **{f"state[{i}]": s for i, s in enumerate(state)}, **cell.state_dict()}
    before = {name: tensor.clone() for name, tensor in given.items()}
    first, drawn = _step(cell, x, state)
    _check_left(before, given, subject)
    if drawn and not cell.training:
        raise BrokenError(
            "a step that draws no random numbers in evaluation",
            "one that does",
            f"Draw `if self.training` only, and compute what is expected else. {subject.place}.",
        )
    held = _held_tensors(cell)
    _step(cell, x.clone(), tuple(s.clone() for s in state))  # what is kept of these is new, too
    _check_held(held, _held_tensors(cell), subject)
    _step(cell, *others)
    again, _ = _step(cell, x, state)
    _check_left(before, given, subject)
    if not all(map(same_tensor, first, again)):
        raise BrokenError(
            "the same output from the same call",
            "another one",
            "The state is what step returns, and nothing else: keep no tensor and no count in the "
            f"cell, and draw from torch's own generator, not from another. {subject.place}.",
        )


def _check_first_state(cell: Cell, subject: CellSubject) -> None:
    look = f"Begin with zeros, or with parameters. Look at initial_state of {subject.place}."
    like = torch.zeros((), dtype=torch.float64)
    with generators_kept(like) as drawn:
        first = cell.initial_state((B,))
        draws = drawn()
    if draws and not cell.training:
        seen = "one that is drawn"
        raise BrokenError("a first state without random numbers in evaluation", seen, look)
    with generators_kept(like):
        again = cell.initial_state((B,))
    if not all(map(same_tensor, first, again)):
        raise BrokenError("the same first state from the same call", "another one", look)


def _check_held(before: _Held, now: _Held, subject: CellSubject) -> None:
    # What is made once and kept from then on, as a table of constants, is no trace of a step.
    known = set(map(id, before.values()))
    new = sorted(name for name, tensor in now.items() if id(tensor) not in known)
    if new:
        raise BrokenError(
            "no tensor of a step kept in the cell",
            f"another {new[0]} after the same call",
            "Return in the state what the next step needs, and keep nothing else: it would hold "
            f"the graph of its step in memory, and backends call update otherwise than once a "
            f"step. {subject.place}.",
        )


def _held_tensors(module: nn.Module) -> _Held:
    """Collect parameters, buffers, and tensors in attributes and in what these contain."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for prefix, part in module.named_modules():
        for name, value in vars(part).items():
            found.update(_within(".".join(filter(None, (prefix, name))), value, seen))
    return found


def _within(place: str, value: object, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield place, value
    elif isinstance(value, (list, tuple, set, deque, dict)) and id(value) not in seen:
        seen.add(id(value))  # a list may contain itself
        for key, part in _parts(value):
            yield from _within(f"{place}[{key!r}]", part, seen)


def _parts(value: Iterable[object]) -> Iterable[tuple[object, object]]:
    return list(value.items()) if isinstance(value, dict) else enumerate(value)


def _drawn(cell: Cell, rows: int) -> tuple[Tensor, State]:
    return torch.randn(rows, I, dtype=torch.float64), random_state(cell, (rows,))


def _step(cell: Cell, x_BI: Tensor, state: State) -> tuple[list[Tensor], bool]:
    # From where the generators stand, which is where they are left.
    with generators_kept(x_BI) as drawn:
        found = [tensor.clone() for tensor in flat(cell.step(x_BI, state))]
        return found, drawn()


def _check_left(before: dict[str, Tensor], now: dict[str, Tensor], subject: CellSubject) -> None:
    changed = [name for name, tensor in before.items() if not same_tensor(tensor, now[name])]
    if changed:
        raise BrokenError(
            "arguments, parameters and buffers left as they were",
            f"changes of {', '.join(changed)}",
            f"No operation in place, such as mul_ or +=, on what a step is given. {subject.place}.",
        )


def check_finite(subject: CellSubject) -> None:
    """From small random inputs come finite outputs, states and gradients."""
    for cell in subject.in_each_mode():
        x = torch.randn(T, B, I, dtype=torch.float64)
        for state in (cell.initial_state((B,)), random_state(cell, (B,))):
            for name, tensor in run_all(cell, x, state).items():
                _check_numbers(name, tensor, subject)


def _check_numbers(name: str, tensor: Tensor, subject: CellSubject) -> None:
    if not torch.isfinite(tensor).all():
        raise BrokenError(
            f"finite {name} over {T} steps of small random numbers",
            "NaN" if tensor.isnan().any() else "infinity",
            "Look for a root, a logarithm or a quotient of what may be 0 or negative; the gradient "
            f"is NaN too where torch.where takes another branch. {subject.place}.",
        )


REPEAT_CHECKS: tuple[Check[CellSubject], ...] = (
    Check(
        "stateless", "nothing is kept between calls, nothing is changed", check_stateless, 0.1, True
    ),
    Check("finite", "outputs, states and gradients are finite", check_finite, decisive=True),
)
