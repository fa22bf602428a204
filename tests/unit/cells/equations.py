"""What equations that are written out in NumPy share, and how a cell is held to one."""

from collections.abc import Callable

import numpy as np
import torch

from rnnexp.recurrence import unroll
from rnnexp.registry import Registry

T, B, I, H = 11, 2, 3, 6  # noqa: E741
Weights = dict[str, np.ndarray]
Equation = Callable[[Weights, np.ndarray], list]
"""Lists the outputs over time, from weights and inputs_TBI."""


class Cases(dict[str, tuple[str, dict[str, object], Equation]]):
    """Equations by label: the cell, its options, and the equation."""

    def __call__(self, name: str, label: str = "", **options: object):
        def note(function: Equation) -> Equation:
            self[name + label] = (name, options, function)
            return function

        return note


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def zeros(width=H):
    return np.zeros((B, width))


def split(x, parts):
    return np.split(x, parts, axis=-1)


def sums(w, x, h):
    return x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T


def moved_cell(plugins: Registry, name: str, options: dict[str, object]):
    torch.manual_seed(0)
    cell = plugins.get("cell", name).cls(I, hidden_size=H, **options).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return cell


def follows(cell, equation: Equation) -> None:
    """Compare the outputs of a cell with those of its equation."""
    x = torch.randn(T, B, I, dtype=torch.float64)
    weights = {key: p.detach().numpy() for key, p in cell.named_parameters()}
    wanted = np.stack(equation(weights, x.numpy()))
    found = unroll(cell, x).outputs_TBH.detach().numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-11)
    assert np.abs(wanted[1:] - wanted[:-1]).max() > 1e-3  # something happens
