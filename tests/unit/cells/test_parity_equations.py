"""Cells that no library has, against their papers' equations written out in NumPy."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from rnnexp.recurrence import unroll
from rnnexp.registry import Registry

T, B, I, H = 11, 2, 3, 6  # noqa: E741
Weights = dict[str, np.ndarray]
CASES: dict[str, tuple[str, dict[str, object], Callable[[Weights, np.ndarray], list]]] = {}


def case(name: str, label: str = "", **options: object):
    """Note a function of weights and inputs_TBI that lists the outputs over time."""

    def note(function):
        CASES[name + label] = (name, options, function)
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


@case("irnn")
def irnn(w, x_TBI):
    h, out = zeros(), []
    for x in x_TBI:
        h = np.maximum(sums(w, x, h), 0)
        out.append(h)
    return out


@case("ctrnn", tau=4.0, dt=0.5)
def ctrnn(w, x_TBI):
    v, out = zeros(), []
    for x in x_TBI:
        slope = -v + sums(w, x, np.tanh(v))
        v = v + 0.5 * slope / 4.0
        out.append(np.tanh(v))
    return out


@case("clockwork", groups=3, base=2)
def clockwork(w, x_TBI):
    period = np.repeat([1, 2, 4], 2)
    recurrent = np.where(period[None, :] >= period[:, None], w["weight_hh"], 0.0)
    h, out = zeros(), []
    for t, x in enumerate(x_TBI):
        new = np.tanh(x @ w["weight_ih"].T + w["bias_ih"] + h @ recurrent.T)
        h = np.where(t % period == 0, new, h)
        out.append(h)
    return out


@case("cifg_lstm")
def cifg(w, x_TBI):
    h, c, out = zeros(), zeros(), []
    for x in x_TBI:
        f, g, o = split(sums(w, x, h), 3)
        c = sigmoid(f) * c + (1 - sigmoid(f)) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        out.append(h)
    return out


def normal(x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)


@case("layer_norm_lstm")
def layer_norm(w, x_TBI):
    h, c, out = zeros(), zeros(), []
    for x in x_TBI:
        total = normal(x @ w["weight_ih"].T) * w["gain_ih"] + w["bias_ih"]
        total = total + normal(h @ w["weight_hh"].T) * w["gain_hh"]
        i, f, g, o = split(total, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(normal(c) * w["gain_c"] + w["bias_c"])
        out.append(h)
    return out


@case("gru_reset_before")
def gru(w, x_TBI):
    h, out = zeros(), []
    recurrent_r, recurrent_z, recurrent_n = np.split(w["weight_hh"], 3)
    for x in x_TBI:
        r, z, n = split(x @ w["weight_ih"].T + w["bias_ih"], 3)
        r, z = sigmoid(r + h @ recurrent_r.T), sigmoid(z + h @ recurrent_z.T)
        h = z * h + (1 - z) * np.tanh(n + (r * h) @ recurrent_n.T)
        out.append(h)
    return out


@case("min_gru")
def min_gru(w, x_TBI):
    h, out = zeros(), []
    for x in x_TBI:
        z, n = split(x @ w["weight_ih"].T + w["bias_ih"], 2)
        h = (1 - sigmoid(z)) * h + sigmoid(z) * n
        out.append(h)
    return out


@case("min_lstm")
def min_lstm(w, x_TBI):
    h, out = zeros(), []
    for x in x_TBI:
        f, i, g = split(x @ w["weight_ih"].T + w["bias_ih"], 3)
        f, i = sigmoid(f), sigmoid(i)
        h = f / (f + i) * h + i / (f + i) * g
        out.append(h)
    return out


@case("lru", states=4)
def lru(w, x_TBI):
    turn = np.exp(-np.exp(w["nu"]) + 1j * np.exp(w["theta"]))
    matrix_b, matrix_c = (w[k][..., 0] + 1j * w[k][..., 1] for k in ("weight_ih", "weight_out"))
    s, out = np.zeros((B, 4), complex), []
    for x in x_TBI:
        s = turn * s + np.exp(w["gamma"]) * (x @ matrix_b.T)
        out.append((s @ matrix_c.T).real + x @ w["weight_skip"].T)
    return out


def sru(w, x_TBI, v_f, v_r):
    c, out = zeros(), []
    b_f, b_r = np.split(w["bias_ih"], 2)
    for x in x_TBI:
        f, r, new = split(x @ w["weight_ih"].T, 3)
        f, r = sigmoid(f + v_f * c + b_f), sigmoid(r + v_r * c + b_r)
        c = f * c + (1 - f) * new
        skip = x @ w["weight_skip"].T if "weight_skip" in w else x
        out.append(r * c + (1 - r) * skip)
    return out


case("sru")(lambda w, x: sru(w, x, *w["peephole"]))
case("sru", "_linear", gates_see_state=False)(lambda w, x: sru(w, x, 0, 0))


def qrnn(w, x_TBI, pooling, width):
    padded = np.concatenate([np.zeros((width - 1, B, I)), x_TBI])
    filters = w["weight_ih"].reshape(-1, width, I)
    c, out = zeros(), []
    for t in range(len(x_TBI)):
        taps = [padded[t + k] @ filters[:, k].T for k in range(width)]
        z, f, *rest = split(sum(taps) + w["bias_ih"], {"f": 2, "fo": 3, "ifo": 4}[pooling])
        z, f = np.tanh(z), sigmoid(f)
        c = f * c + (sigmoid(rest[1]) if pooling == "ifo" else 1 - f) * z
        out.append(c if pooling == "f" else sigmoid(rest[0]) * c)
    return out


for kind in ("f", "fo", "ifo"):
    case("qrnn", f"_{kind}", pooling=kind, width=3)(lambda w, x, kind=kind: qrnn(w, x, kind, 3))


@case("time_conv", width=4)
def time_conv(w, x_TBI):
    padded = np.concatenate([np.zeros((3, B, I)), x_TBI])
    filters = w["weight_ih"].reshape(H, 4, I)
    return [
        np.tanh(sum(padded[t + k] @ filters[:, k].T for k in range(4)) + w["bias_ih"])
        for t in range(len(x_TBI))
    ]


def form(matrix, beta, gamma):
    even, skew = matrix + matrix.T, matrix - matrix.T
    return (1 - beta) * even + beta * skew - gamma * np.eye(H)


@case("lipschitz_rnn", step=0.2, beta=0.6, gamma=0.01)
def lipschitz(w, x_TBI):
    linear, inner = (form(m, 0.6, 0.01) for m in np.split(w["weight_hh"], 2))
    h, out = zeros(), []
    for x in x_TBI:
        bent = np.tanh(h @ inner.T + x @ w["weight_ih"].T + w["bias_ih"])
        h = h + 0.2 * (h @ linear.T + bent)
        out.append(h)
    return out


@case("phased_lstm", open_share=0.4, leak=0.01, shortest_period=2.0, longest_period=6.0)
def phased(w, x_TBI):
    period, peephole = np.exp(w["log_period"]), w["peephole"]
    h, c, out = zeros(), zeros(), []
    for t, x in enumerate(x_TBI):
        phi = np.mod(t - w["shift"], period) / period
        k = np.where(phi < 0.2, 2 * phi / 0.4, np.where(phi < 0.4, 2 - 2 * phi / 0.4, 0.01 * phi))
        i, f, g, o = split(sums(w, x, h), 4)
        new = sigmoid(f + peephole[1] * c) * c + sigmoid(i + peephole[0] * c) * np.tanh(g)
        shown = sigmoid(o + peephole[2] * new) * np.tanh(new)
        h, c = k * shown + (1 - k) * h, k * new + (1 - k) * c
        out.append(h)
    return out


@case("echo_state", leak=0.3)
def echo_state(w, x_TBI):
    h, out = zeros(), []
    for x in x_TBI:
        h = 0.7 * h + 0.3 * np.tanh(sums(w, x, h))
        out.append(h)
    return out


def slstm(w, x_TBI, forget):
    h, c, n, out = zeros(), zeros(), zeros(), []
    for x in x_TBI:  # without any stabiliser
        i, f, z, o = split(sums(w, x, h), 4)
        c = forget(f) * c + np.exp(i) * np.tanh(z)
        n = forget(f) * n + np.exp(i)
        h = sigmoid(o) * c / n
        out.append(h)
    return out


case("slstm", "_sigmoid")(lambda w, x: slstm(w, x, sigmoid))
case("slstm", "_exp", forget="exp")(lambda w, x: slstm(w, x, np.exp))


def mlstm(w, x_TBI, heads, forget):
    d = H // heads
    memory, norm, out = np.zeros((B, heads, d, d)), np.zeros((B, heads, d)), []
    for x in x_TBI:  # without any stabiliser
        products = (x @ w["weight_ih"].T + w["bias_ih"]).reshape(B, 4, heads, d)
        q, k, v, o = np.moveaxis(products, 1, 0)
        k = k / np.sqrt(d)
        i, f = split(x @ w["weight_gate"].T + w["bias_gate"], 2)
        i, f = np.exp(i)[..., None], forget(f)[..., None]
        memory = f[..., None] * memory + i[..., None] * np.einsum("bhi,bhj->bhij", v, k)
        norm = f * norm + i * k
        found = np.einsum("bhij,bhj->bhi", memory, q)
        divisor = np.maximum(np.abs((norm * q).sum(-1, keepdims=True)), 1)
        out.append((sigmoid(o) * found / divisor).reshape(B, H))
    return out


case("mlstm", "_sigmoid")(lambda w, x: mlstm(w, x, 1, sigmoid))
case("mlstm", "_exp", forget="exp", heads=2)(lambda w, x: mlstm(w, x, 2, np.exp))


def _legendre(order: int, window: float):
    a, b = np.zeros((order, order)), np.zeros(order)
    for i in range(order):
        b[i] = (2 * i + 1) * (-1) ** i / window
        for j in range(order):
            a[i, j] = (2 * i + 1) / window * (-1 if i < j else (-1) ** (i - j + 1))
    values, vectors = np.linalg.eig(a)  # a second way to the exponential
    keep = (vectors @ np.diag(np.exp(values)) @ np.linalg.inv(vectors)).real
    return keep, np.linalg.solve(a, (keep - np.eye(order)) @ b)


@case("lmu", order=4, window=7.0)
def lmu(w, x_TBI):
    keep, write = _legendre(4, 7.0)
    h, m, out = zeros(), zeros(4), []
    for x in x_TBI:
        u = x @ w["encode_x"] + h @ w["encode_h"] + m @ w["encode_m"]
        m = m @ keep.T + u[:, None] * write
        h = np.tanh(sums(w, x, h) + m @ w["weight_mh"].T)
        out.append(h)
    return out


@case("md_rnn", columns=4)
def md_rnn(w, x_TBI):
    left, up = np.split(w["weight_hh"], 2)
    grid = np.zeros((5, 5, B, H))  # row 0 and column 0 are the edges
    for t, x in enumerate(x_TBI):
        y, z = divmod(t, 4)
        past = grid[y + 1, z] @ left.T + grid[y, z + 1] @ up.T
        grid[y + 1, z + 1] = np.tanh(x @ w["weight_ih"].T + past + w["bias_ih"])
    return [grid[t // 4 + 1, t % 4 + 1] for t in range(len(x_TBI))]


@pytest.mark.parametrize("label", CASES)
def test_follows_its_equation(plugins: Registry, label: str) -> None:
    name, options, written_out = CASES[label]
    torch.manual_seed(0)
    cell = plugins.get("cell", name).cls(I, hidden_size=H, **options).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    if name == "lmu":  # its constants are rounded to single precision
        keep, write = _legendre(4, 7.0)
        np.testing.assert_allclose(cell.keep, keep, atol=1e-6)
        np.testing.assert_allclose(cell.write, write, atol=1e-6)
        cell.keep.copy_(torch.from_numpy(keep))
        cell.write.copy_(torch.from_numpy(write))
    x = torch.randn(T, B, I, dtype=torch.float64)
    weights = {key: p.detach().numpy() for key, p in cell.named_parameters()}
    wanted = np.stack(written_out(weights, x.numpy()))
    found = unroll(cell, x).outputs_TBH.detach().numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-11)
    assert np.abs(wanted[1:] - wanted[:-1]).max() > 1e-3  # something happens
