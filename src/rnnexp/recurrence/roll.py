"""The way of the state forward through time, without autograd's record of each operation."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rnnexp.cells import Formula, PointwiseCell, still_holds
from rnnexp.recurrence.product import product_with
from rnnexp.recurrence.workspace import buffer
from rnnexp.types import State


class Rolled(NamedTuple):
    """What a forward pass leaves.

    Args:
        states: s_0..s_T of each state tensor, shape (T + 1, B, H).
        left_TBGH: what the derivatives are made from beside the states: ``R h_{t-1}``, or what the
            formula has left in the place of ``W x_t + b``; None where it was not to be saved.
        formula: the cell's, where it made the states.
    """

    states: State
    left_TBGH: Tensor | None
    formula: Formula | None = None


def roll(
    cell: PointwiseCell, weight_hh: Tensor, wx_TBGH: Tensor, state: State, *, saving: bool
) -> Rolled:
    """Compute s_0..s_T.

    Args:
        cell: whose `update` or `Formula` makes each state from the one before.
        weight_hh: R of the gates that have one, the first; shape (recurrent*H, H).
        wx_TBGH: ``W x_t + b``; a formula overwrites it where the cell has no projection of its own.
        state: s_0, S tensors of shape (B, H).
        saving: whether a backward pass follows.
    """
    formula = formula_of(cell)
    if formula is None:
        return _by_update(cell, weight_hh, wx_TBGH, state, saving)
    return _by_formula(formula, weight_hh, _to_overwrite(cell, wx_TBGH), state)


def _to_overwrite(cell: PointwiseCell, wx_TBGH: Tensor) -> Tensor:
    # A projection of the cell's own may have kept its result for its way back.
    owned = type(cell).project_input is PointwiseCell.project_input
    wx_TBGH = wx_TBGH.detach() if owned else wx_TBGH.detach().clone().contiguous()
    if cell.bias_hh is not None:
        wx_TBGH.flatten(2)[..., : len(cell.bias_hh)].add_(cell.bias_hh)
    return wx_TBGH


def formula_of(cell: PointwiseCell) -> Formula | None:
    """Give the formula of a cell, unless a subclass of the one that has it updates otherwise."""
    return cell.formula() if still_holds(cell, "formula", "update") else None


def _by_update(
    cell: PointwiseCell, weight_hh: Tensor, wx_TBGH: Tensor, state: State, saving: bool
) -> Rolled:
    recur, wide = product_with(weight_hh, wx_TBGH.shape[1]), len(weight_hh)
    rh_TBGH = buffer(wx_TBGH, wx_TBGH.shape)
    rh_TBGH.flatten(2)[..., wide:].zero_()  # gates without an R
    products = rh_TBGH.flatten(2)[..., :wide].unbind(0)
    states = [state]
    for wx_BGH, rh_BGH, product in zip(wx_TBGH, rh_TBGH, products, strict=True):
        recur(state[0], cell.bias_hh, product)
        state = cell.update(wx_BGH, rh_BGH, state)
        states.append(state)
    left = rh_TBGH if saving else None
    return Rolled(tuple(_stack(column) for column in zip(*states, strict=True)), left)


def _by_formula(formula: Formula, weight_hh: Tensor, sum_TBGH: Tensor, state: State) -> Rolled:
    recur = product_with(weight_hh, sum_TBGH.shape[1])
    columns = tuple(buffer(s, (len(sum_TBGH) + 1, *s.shape)) for s in state)
    for column, first in zip(columns, state, strict=True):
        column[0].copy_(first)
    # Views are made for all steps at once: to make them at each costs more than the arithmetic. In
    # inference mode they and the operations cost less: autograd keeps no account of them.
    with torch.inference_mode():
        states, gates = by_step(columns), by_step(sum_TBGH.unbind(2))
        for t, sum_BG in enumerate(sum_TBGH.flatten(2)[..., : len(weight_hh)].unbind(0)):
            recur(states[t][0], sum_BG, sum_BG)
            formula.update(gates[t], states[t], states[t + 1])
    return Rolled(columns, sum_TBGH, formula)


def by_step(tensors: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """View each step of tensors of shape (T, ...)."""
    return list(zip(*(tensor.unbind(0) for tensor in tensors), strict=True))


def _stack(tensors: tuple[Tensor, ...]) -> Tensor:
    shape = (len(tensors), *tensors[0].shape)
    return torch.stack(tensors, out=buffer(tensors[-1], shape))
