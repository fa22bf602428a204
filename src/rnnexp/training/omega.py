"""A regulariser against vanishing gradients: Omega of Pascanu et al. 2013."""

from typing import Literal

import torch
from torch import Tensor

from rnnexp.cells import Cell, PointwiseCell, has_own_step
from rnnexp.errors import ConfigError
from rnnexp.types import State

Flavour = Literal["paper", "code"]
WEIGHTS: dict[Flavour, float] = {"paper": 4.0, "code": 2.0}
"""By which each flavour multiplies Omega before it is added to the loss."""
_BOUND = 1e-20
"""Steps with a smaller ||dL/dh_t||^2 say nothing of a ratio and don't count."""


def omega(
    cell: Cell, inputs_TBI: Tensor, states_TBH: State, grad_h_TBH: Tensor, flavour: Flavour
) -> Tensor:
    """Measure how far one step back changes the norm of the gradient.

        g_t = dL/dh_t,    v_t = (dh_t / dh_{t-1})' g_t,    t = 1..T
        paper    mean over rows of sum_t (||v_t|| / ||g_t|| - 1)^2
        code     mean over rows and steps of (||v_t||^2 / ||g_t||^2 - 1)^2

    Its gradient is the immediate one: inputs, states and g_t are constants, and so are the slopes
    of the nonlinearities; what is left is the recurrent matrix in v_t, so the gradient reaches
    ``weight_hh`` and nothing else. Add it to that of the loss before clipping, times `WEIGHTS`.
    In a cell with more than one state, the path from h_{t-1} to h_t is taken, not that through
    the others. Steps and rows with ||g_t||^2 below 1e-20 do not count; neither do they in the
    mean over steps.

    Args:
        cell: the recurrence of one layer.
        inputs_TBI: what entered the cell at each step, shape (T, B, I).
        states_TBH: the state before each step, h_0 to h_{T-1}: S tensors of shape (T, B, H).
        grad_h_TBH: g_t, the whole gradient of the loss at the output of each step; any scale.
        flavour: ``paper`` is equation 9; ``code`` is what the authors' program computes, with
            squared norms, as in equation 10.

    Returns:
        A scalar without unit, 0 where no step counts; differentiable in ``weight_hh`` alone.

    Raises:
        ConfigError: the cell is no `PointwiseCell`, or overrides `step`, so what it does with
            its recurrent matrix is not known.

    Source: Pascanu, Mikolov, Bengio 2013, section 3.3; pascanur/trainingRNNs, RNN.py.
    """
    back_TBH = _one_step_back(_checked(cell), inputs_TBI, states_TBH, grad_h_TBH.detach())
    square_TB = grad_h_TBH.detach().square().sum(-1)
    counts_TB = square_TB >= _BOUND
    safe_TB = torch.where(counts_TB, square_TB, 1.0)
    ratio_TB = back_TBH.square().sum(-1) / safe_TB
    if flavour == "paper":
        ratio_TB = _root(ratio_TB)
    excess_TB = torch.where(counts_TB, (ratio_TB - 1).square(), 0.0)
    return excess_TB.sum() / _count(counts_TB, flavour)


def _one_step_back(
    cell: PointwiseCell, inputs_TBI: Tensor, states_TBH: State, grad_TBH: Tensor
) -> Tensor:
    # v = R' (slope of h_t in R h_{t-1}) + (slope of h_t in h_{t-1} itself), all T in one batch.
    past = tuple(state.detach() for state in states_TBH)
    by_product_TBGH, direct_TBH = _slopes(cell, inputs_TBI, past, grad_TBH)
    return by_product_TBGH.flatten(-2) @ cell.full_recurrent_weight() + direct_TBH


def _slopes(
    cell: PointwiseCell, inputs_TBI: Tensor, past: State, grad_TBH: Tensor
) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        wx_TBGH = cell.project_input(inputs_TBI)
        rh_TBGH = cell.project_recurrent(past[0])
    with torch.enable_grad():
        rh_TBGH.requires_grad_(True)
        h_TBH = past[0].clone().requires_grad_(True)
        new_TBH = cell.update(wx_TBGH, rh_TBGH, (h_TBH, *past[1:]))[0]
        by_product, direct = torch.autograd.grad(
            new_TBH, (rh_TBGH, h_TBH), grad_TBH, allow_unused=True, materialize_grads=True
        )
    return by_product, direct


def _root(square_TB: Tensor) -> Tensor:
    # At zero the root has no slope; there the ratio is 0, whichever way the matrix moves.
    positive_TB = square_TB > 0
    return torch.where(positive_TB, torch.where(positive_TB, square_TB, 1.0).sqrt(), 0.0)


def _count(counts_TB: Tensor, flavour: Flavour) -> Tensor | int:
    return counts_TB[0].numel() if flavour == "paper" else counts_TB.sum().clamp(min=1)


def _checked(cell: Cell) -> PointwiseCell:
    if not isinstance(cell, PointwiseCell) or cell.weight_hh is None:
        raise ConfigError(
            f"Omega needs a PointwiseCell with a recurrent matrix; "
            f"{type(cell).__name__} is none. Turn Omega off, or take elman, leaky, lstm or gru."
        )
    if has_own_step(cell):
        raise ConfigError(
            f"Omega needs a step that is made of update; {type(cell).__name__} states its own. "
            "Turn Omega off, or take elman, leaky, lstm or gru."
        )
    return cell
