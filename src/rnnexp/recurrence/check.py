"""A fast way to run a cell against the cell itself, on a few random numbers.

Every fast backend takes for granted that `update` is elementwise and a plain function. A sum over
units, chance, a custom autograd Function or a part under no_grad breaks that, and nothing else
would say so: such a cell shows itself here.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import is_, itemgetter
from threading import RLock
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence.definition import definition_of, is_plain
from rnnexp.recurrence.generators import generators_kept
from rnnexp.recurrence.inside_torch import parametrized_anew, saved_tensors_are_hooked
from rnnexp.recurrence.stand_in import apart
from rnnexp.types import State

NOT_EXAMINED = (
    "its weights were made under torch.inference_mode(), and autograd keeps no record of such."
)
OWN_STEP = "its step is its own, and need not be what its update alone says."
_STEPS, _ROWS = 2, 3
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}
"""Relative to the largest entry. Rounding stays below, also that of torch, which keeps some
constants as float32 (the 1/6 of hardsigmoid); another gradient does not."""

_BOXES = (list, dict, set, tuple)
_examining = RLock()
"""To record what an update does, torch changes itself for a moment: one thread at a time."""
Guard = tuple[object, ...]
_GUARDS = 4
"""Training and evaluation take turns: neither is found out again at every turn."""
_TWINS = 64
_OF_TORCH = frozenset(vars(nn.Module()))
Finding = TypeVar("Finding")


class _Options(NamedTuple):
    """The options of a cell as objects: where all are the same ones, so is its guard."""

    held: int
    get: Callable[[dict[str, Any]], tuple[Any, ...]]
    values: tuple[Any, ...]
    dtype: torch.dtype
    device: torch.device

    def are_of(self, cell: PointwiseCell) -> bool:
        """Tell whether a cell has them still."""
        own = vars(cell)
        try:
            same = all(map(is_, self.get(own), self.values))
        except KeyError:  # one is gone, another has come
            return False
        weight = cell.weight_ih
        of_kind = weight.dtype is self.dtype and weight.device == self.device
        return same and len(own) == self.held and of_kind and not own["_modules"]


class Remembered(Generic[Finding]):
    """What was found out about a cell, for as long as it lives, with each of its latest guards.

    A cell made like one before it is not examined again, nor is one in a copy of this process:
    the jobs of a sweep begin with what the sweep has found out.

    Args:
        find: finds it out; may take long.
        lasting: tells which findings hold for twins of the cell; others may have passing causes.
    """

    def __init__(
        self, find: Callable[[PointwiseCell], Finding], lasting: Callable[[Finding], bool]
    ) -> None:
        self._find, self._lasting = find, lasting
        self._of_twins: OrderedDict[Guard, Finding] = OrderedDict()
        self._known: WeakKeyDictionary[PointwiseCell, list[tuple[Guard, Finding]]]
        self._known = WeakKeyDictionary()
        self._latest: WeakKeyDictionary[PointwiseCell, tuple[_Options, Finding]]
        self._latest = WeakKeyDictionary()

    def of(self, cell: PointwiseCell) -> Finding:
        """Look it up, or find it out."""
        latest = self._latest.get(cell)
        if latest is not None and latest[0].are_of(cell):
            return latest[1]
        finding = self._by_guard(cell)
        options = _options_of(cell)
        if options is not None:
            self._latest[cell] = options, finding
        return finding

    def _by_guard(self, cell: PointwiseCell) -> Finding:
        guard = guard_of(cell)
        known = self._known.setdefault(cell, [])
        for before, finding in known:
            if before == guard:
                return finding
        finding = self._of_twin(cell, guard)
        known[:] = [*known[1 - _GUARDS :], (guard, finding)]
        return finding

    def _of_twin(self, cell: PointwiseCell, guard: Guard) -> Finding:
        twins = _twins_of(cell, guard)
        if twins in self._of_twins:
            self._of_twins.move_to_end(twins)
            return self._of_twins[twins]
        # What hooks for saved tensors count, as those of checkpoint do, are not the runs in here: a
        # thread of its own has none.
        if saved_tensors_are_hooked():
            with ThreadPoolExecutor(max_workers=1) as thread:
                finding = thread.submit(self._found, cell).result()
        else:
            finding = self._found(cell)
        if twins and self._lasting(finding):
            self._of_twins[twins] = finding
        if len(self._of_twins) > _TWINS:
            self._of_twins.popitem(last=False)
        return finding

    def _found(self, cell: PointwiseCell) -> Finding:
        # A run asks in its midst, and one that goes on asks anew: its draws are to be the same. It
        # may ask in an evaluation, where a copy of the cell would have no gradient.
        keeping = generators_kept(cell.weight_ih)
        with _examining, keeping, parametrized_anew(), torch.inference_mode(False):
            return self._find(cell)


def guard_of(cell: PointwiseCell) -> Guard:
    """Collect what `update` may depend on: the weights' type, and what the cell holds beside."""
    weight = cell.weight_ih
    return (weight.dtype, weight.device, *held_by(cell))


def held_by(module: nn.Module) -> list[object]:
    """Collect what a module and those below it hold beside tensors, to be compared later."""
    held: list[object] = [(name, _seen(value)) for name, value in _own(module).items()]
    if vars(module)["_modules"]:
        held += [(name, _Same(m), *held_by(m)) for name, m in module.named_children()]
    return held


def _own(holder: object) -> dict[str, Any]:
    # Without a module's own dictionaries, which are most of it.
    return {n: v for n, v in vars(holder).items() if n not in _OF_TORCH or n == "training"}


def _seen(value: object) -> object:
    """Give what can be compared later: the value, or else which object it is and what it holds."""
    if is_plain(value):
        return value
    if isinstance(value, _BOXES):
        return repr(value)
    if type(getattr(value, "__dict__", None)) is not dict:  # a class, or no attributes at all
        return _Same(value)
    inside = [(n, v if is_plain(v) else _Same(v)) for n, v in _own(value).items()]
    return (_Same(value), *inside)


class _Same:
    """Equal to another that was made of the same object, as long as there is that object."""

    def __init__(self, value: object) -> None:
        try:
            self.get: Callable[[], object] = ref(value)
        except TypeError:
            self.get = lambda: value

    def __eq__(self, other: object) -> bool:
        value = self.get()
        return isinstance(other, _Same) and value is not None and value is other.get()


def _options_of(cell: PointwiseCell) -> _Options | None:
    # None where the cell holds anything else, or another module: such an object may change and stay
    # the same one.
    own, weight = _own(cell), cell.weight_ih
    if len(own) < 2 or not all(map(is_plain, own.values())) or vars(cell)["_modules"]:
        return None
    get = itemgetter(*own)
    return _Options(len(vars(cell)), get, tuple(own.values()), weight.dtype, weight.device)


def _twins_of(cell: PointwiseCell, guard: Guard) -> Guard:
    # All that tells cells apart; empty for one that holds more than numbers and its own tensors.
    if not all(map(is_plain, _own(cell).values())) or next(cell.children(), None) is not None:
        return ()
    tensors = (*cell.named_parameters(), *cell.named_buffers())
    shapes = ((name, t.shape, t.dtype, t.device, t.requires_grad) for name, t in tensors)
    kind = type(cell)
    functions = kind.update, kind.step
    return (kind, *functions, *map(repr, guard), *definition_of(kind), *shapes)


def agrees(run: Callable[[Tensor, State], tuple[Tensor, State]], cell: PointwiseCell) -> bool:
    """Compare outputs and gradients of a way to run a cell with those of its steps.

    A cell that draws random numbers agrees with nothing: each step and each pass has its own.

    Args:
        run: takes inputs_TBI and the initial state, gives outputs and the last state.
        cell: whose steps are right.
    """
    keeping = generators_kept(cell.weight_ih)
    with torch.inference_mode(False), torch.enable_grad(), keeping as drawn:
        inputs_TBI, state = _random_inputs(cell)
        leaves = [t for t in (inputs_TBI, *state, *cell.parameters()) if t.requires_grad]
        outputs, last = run(inputs_TBI, state)
        mine = _with_gradients((outputs, *last), leaves)
        theirs = _with_gradients(_unrolled(cell, inputs_TBI, state), leaves)
        if drawn():
            return False
    return all(_close(a, b) for a, b in zip(mine, theirs, strict=True))


def _random_inputs(cell: PointwiseCell) -> tuple[Tensor, State]:
    generator = torch.Generator().manual_seed(0)
    like = cell.weight_ih

    def normal(*shape: int) -> Tensor:
        drawn = torch.randn(*shape, generator=generator, dtype=like.dtype, device="cpu")
        return drawn.to(like.device).requires_grad_()

    state = tuple(normal(_ROWS, cell.hidden_size) for _ in range(cell.num_states))
    inputs_TBI = normal(_STEPS, _ROWS, cell.input_size)
    if not _takes(cell, inputs_TBI):
        inputs_TBI = torch.zeros_like(inputs_TBI, dtype=torch.int64)
    return inputs_TBI, state


def _takes(cell: PointwiseCell, inputs_TBI: Tensor) -> bool:
    # One that looks its inputs up takes whole numbers, of which 0 stands in any table. To look up
    # what is in none would end the process on a GPU.
    if type(cell).project_input is PointwiseCell.project_input:
        return True
    there = apart(cell).to("cpu") if inputs_TBI.is_cuda else cell
    try:
        with torch.no_grad():
            there.project_input(inputs_TBI.cpu())
    except Exception:  # whatever torch says of such inputs
        return False
    return True


def _unrolled(cell: PointwiseCell, inputs_TBI: Tensor, state: State) -> tuple[Tensor, ...]:
    outputs: list[Tensor] = []
    for x_BI in inputs_TBI:
        out_BH, state = cell.step(x_BI, state)
        outputs.append(out_BH)
    return torch.stack(outputs), *state


def _with_gradients(results: Sequence[Tensor], leaves: Sequence[Tensor]) -> list[Tensor]:
    # Weights that differ from entry to entry, so that errors do not cancel.
    loss = sum(
        (r * torch.arange(1.0, r.numel() + 1, device=r.device).to(r).view_as(r).sin()).sum()
        for r in results
    )
    assert isinstance(loss, Tensor)
    grads = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    return [r.detach() for r in results] + list(grads)


def _close(a: Tensor, b: Tensor) -> bool:
    if not b.numel():
        return a.shape == b.shape
    largest = b.nan_to_num().abs().max().clamp(min=1e-3).item()
    # A GPU may have been told to multiply in TF32, which not all of the ways do.
    tolerance = _TOLERANCE[a.dtype] * (10 if a.is_cuda else 1)
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance * largest, equal_nan=True)
