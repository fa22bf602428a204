"""What compiled loops take from their cell at each run: its weights, as they are now."""

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell
from rnnexp.errors import ConfigError
from rnnexp.recurrence.native.theta import Given
from rnnexp.recurrence.native.trace_update import Traced
from rnnexp.types import State

_Getter = Callable[[PointwiseCell], Tensor]


@dataclass(frozen=True, eq=False)
class Sources:
    """Ways to the tensors of a cell.

    Args:
        recurrent: how many gates, the first, have an R.
        given: the tensors that the parameter-only values are made from.
        own_of: gives each of them; None for those that torch computes.
        computed_of: the tensors that it computes them from.
    """

    recurrent: int
    given: Given
    own_of: tuple[_Getter | None, ...]
    computed_of: tuple[_Getter, ...]

    @classmethod
    def of(cls, traced: Traced) -> "Sources":
        """Make those of an update that was traced."""
        given = traced.given
        own = tuple(_getter(name) for name, _ in given.sources)
        computed = tuple(map(operator.attrgetter, given.computed_of))
        return cls(traced.update.recurrent, given, own, computed)

    def weight_hh(self, cell: PointwiseCell) -> Tensor:
        """Make R of a cell, shape (recurrent*H, H).

        Raises:
            ConfigError: it has become another since the loops were made.
        """
        weight = cell.recurrent_weight()
        count = self.recurrent * cell.hidden_size**2
        self._check(weight, "recurrent_weight()", count, cell.weight_ih)
        return weight

    def own(self, cell: PointwiseCell) -> list[Tensor]:
        """Collect the tensors that the parameter-only values of a cell are made from.

        Raises:
            ConfigError: one has become another since the loops were made.
        """
        if not self.own_of:
            return []
        compute = self.given.compute
        found = iter(compute(*(get(cell) for get in self.computed_of)) if compute else ())
        tensors = [next(found) if get is None else get(cell) for get in self.own_of]
        for tensor, (name, rows) in zip(tensors, self.given.sources, strict=True):
            self._check(tensor, name, rows * cell.hidden_size, cell.weight_ih)
        return tensors

    def rows_of(self, tensors: Sequence[Tensor | None]) -> list[int | None]:
        """Point to each row of the tensors of `own`, or of others of their shapes."""
        rows: list[int | None] = []
        for tensor, (_, count) in zip(tensors, self.given.sources, strict=True):
            if tensor is None:
                rows += [None] * count
            elif count:
                begin, step = tensor.data_ptr(), tensor.nbytes // count
                rows += [begin + i * step for i in range(count)]
        return rows

    def _check(self, tensor: Tensor, name: str | None, count: int, like: Tensor) -> None:
        # The loops read memory as it was promised.
        of_kind = tensor.dtype == like.dtype and tensor.device == like.device
        if tensor.numel() != count or not of_kind:
            raise ConfigError(
                f"{name or 'a value of its parameters'}: expected {count} numbers of {like.dtype} "
                f"on {like.device}, as when the cell was compiled, got {tensor.numel()} of "
                f"{tensor.dtype} on {tensor.device}; make the cell anew."
            )


def _getter(name: str | None) -> _Getter | None:
    return None if name is None else operator.attrgetter(name)


class Wanted(NamedTuple):
    """Which gradients are asked for: of x, W, b, R, b_r, and of each tensor of `Sources.own`."""

    x: bool
    ih: bool
    bias_ih: bool
    hh: bool
    bias_hh: bool
    own: tuple[bool, ...] = ()


def nothing(own: int) -> Wanted:
    """Ask for no gradient of weights and inputs; ``own`` tensors are own."""
    return Wanted(False, False, False, False, False, (False,) * own)


def wanted_of(asked: Sequence[bool], own: int) -> Wanted:
    """Read autograd's list, in which those of the initial state follow; ``own`` tensors are own."""
    x, ih, bias_ih, hh, bias_hh, *rest = asked
    return Wanted(x, ih, bias_ih, hh, bias_hh, tuple(rest[:own]))


def unroll_by(
    apply: Callable[[bool, Sequence[Tensor | None]], Sequence[Tensor]],
    sources: Sources,
    cell: PointwiseCell,
    inputs_TBI: Tensor,
    state: State,
) -> tuple[Tensor, State]:
    """Run loops that know one batch axis with the weights of a cell.

    Args:
        apply: is given whether a backward pass may follow, and the inputs, W, b, R, b_r, those of
            `Sources.own` and the state; gives outputs and last state.
        sources: of the loops.
        cell: the cell that they were made from.
        inputs_TBI: shape (T, ..., B, I).
        state: S tensors of shape (..., B, H).
    """
    lead, units = inputs_TBI.shape[1:-1], cell.hidden_size
    if len(lead) != 1:
        state = tuple(s.reshape(-1, units) for s in state)
    weights = (*_inputs_and_weights(cell, inputs_TBI), sources.weight_hh(cell), cell.bias_hh)
    tensors = (*weights, *sources.own(cell), *state)
    saving = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    outputs, *last = apply(saving, tensors)
    if len(lead) != 1:
        outputs = outputs.reshape(len(outputs), *lead, units)
        last = [s.reshape(*lead, units) for s in last]
    return outputs, tuple(last)


def _inputs_and_weights(
    cell: PointwiseCell, inputs_TBI: Tensor
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Give x, W and b with one batch axis; of a cell that projects its inputs in its own way, or
    has none, W x + b, shape (T, B, G*H), and no W and b.

    Args:
        cell: any.
        inputs_TBI: shape (T, ..., B, I).
    """
    # Without features there is no memory of them to point at, and no product to make.
    if type(cell).project_input is PointwiseCell.project_input and cell.input_size:
        return _with_one_batch_axis(inputs_TBI), cell.weight_ih, cell.bias_ih
    wx, rows = cell.project_input(inputs_TBI), prod(inputs_TBI.shape[1:-1])
    _check_kind(wx, cell.weight_ih)
    return wx.reshape(len(wx), rows, cell.num_gates * cell.hidden_size), None, None


def _check_kind(wx_TBGH: Tensor, like: Tensor) -> None:
    if wx_TBGH.dtype != like.dtype or wx_TBGH.device != like.device:
        raise ConfigError(
            f"project_input: expected {like.dtype} on {like.device} like the weights of the cell, "
            f"got {wx_TBGH.dtype} on {wx_TBGH.device}; convert what it returns."
        )


def _with_one_batch_axis(inputs_TBI: Tensor) -> Tensor:
    if inputs_TBI.dim() == len("TBI"):
        return inputs_TBI
    return inputs_TBI.reshape(len(inputs_TBI), prod(inputs_TBI.shape[1:-1]), inputs_TBI.shape[-1])


def contiguous(tensors: Iterable[Tensor | None]) -> list[Tensor | None]:
    """Lay tensors out in the order of their axes, as the loops read them; None for none."""
    return [None if tensor is None else tensor.contiguous() for tensor in tensors]


def pointer(tensor: Tensor | None) -> int | None:
    """Say where a tensor lies; None for none."""
    return None if tensor is None else tensor.data_ptr()
