"""Cells of which torchrecurrent is no measure, against their papers' equations in NumPy."""

import numpy as np
import pytest
import torch

from rnnexp.recurrence import unroll
from rnnexp.registry import Registry

from .equations import sigmoid

T, B, I, H = 7, 3, 5, 4  # noqa: E741


def lem(x, y, z, V, W, b, dt):
    """Rusch et al. 2022, in the order of its update; y is what the network shows."""
    V_1, V_2, V_z, V_y = np.split(V, 4)
    W_1, W_2, W_z, W_y = np.split(W, 4)
    b_1, b_2, b_z, b_y = np.split(b, 4)
    for u in x:
        short = dt * sigmoid(y @ W_1.T + u @ V_1.T + b_1)
        long = dt * sigmoid(y @ W_2.T + u @ V_2.T + b_2)
        z = (1 - long) * z + long * np.tanh(y @ W_z.T + u @ V_z.T + b_z)
        y = (1 - short) * y + short * np.tanh(z @ W_y.T + u @ V_y.T + b_y)
        yield y, (y, z)


def scrn(x, s, h, inputs, squares, b, alpha, b_y):
    """Mikolov et al. 2014, with biases; h, not the output, recurs."""
    B_s, A = np.split(inputs, 2)
    R, P, U, V = np.split(squares, 4)
    b_s, b_h = np.split(b, 2)
    for u in x:
        s = (1 - alpha) * (u @ B_s.T + b_s) + alpha * s
        h = sigmoid(s @ P.T + u @ A.T + h @ R.T + b_h)
        yield np.tanh(h @ U.T + s @ V.T + b_y), (s, h)


def nas(x, h, c, W, R, b, b_r):
    """Zoph & Le 2017, as in NASCell of TensorFlow Addons."""
    for u in x:
        a, d = np.split(u @ W.T + b, 8, -1), np.split(h @ R.T + b_r, 8, -1)
        gates = (sigmoid, _relu, sigmoid, _relu, np.tanh, sigmoid, np.tanh, sigmoid)
        pairs = [p * q if k == 3 else p + q for k, (p, q) in enumerate(zip(a, d, strict=True))]
        g = [gate(pair) for gate, pair in zip(gates, pairs, strict=True)]
        c = np.tanh(np.tanh(g[0] * g[1]) + c) * np.tanh(g[2] + g[3])
        h = np.tanh(c * np.tanh(np.tanh(g[4] * g[5]) + sigmoid(g[6] + g[7])))
        yield h, (h, c)


def _relu(x):
    return np.maximum(x, 0)


PAPERS = {
    "lem": (lem, {"dt": 0.7}, ()),
    "scrn": (scrn, {"alpha": 0.7}, ("bias_y",)),
    "nas": (nas, {}, ("bias_hh",)),
}


@pytest.mark.parametrize("name", PAPERS)
def test_equals_its_paper(plugins: Registry, name: str) -> None:
    equations, options, more = PAPERS[name]
    torch.manual_seed(0)
    cell = plugins.get("cell", name).cls(I, hidden_size=H, **options).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_(std=0.7)
    x = torch.randn(T, B, I, dtype=torch.float64)
    state = tuple(torch.randn(B, H, dtype=torch.float64) for _ in range(2))
    run = unroll(cell, x, state)
    values = {key: value.detach().numpy() for key, value in cell.named_parameters()}
    weights = [values.pop(key) for key in ("weight_ih", "weight_hh", "bias_ih")]
    given = [*weights, *options.values(), *(values.pop(key) for key in more)]
    assert not values
    outputs, states = zip(*equations(x.numpy(), *(s.numpy() for s in state), *given), strict=True)
    np.testing.assert_allclose(run.outputs_TBH.detach(), np.stack(outputs), rtol=1e-9, atol=1e-13)
    for found, wanted in zip(run.state, states[-1], strict=True):
        np.testing.assert_allclose(found.detach(), wanted, rtol=1e-9, atol=1e-13)
