"""Cells that no library has, against their papers' equations written out in NumPy."""

import numpy as np
import pytest

from rnnexp.registry import Registry

from .equations import B, Cases, H, follows, moved_cell, sigmoid, split, sums, zeros

case = Cases()


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


@case("goru")
def goru(w, x_TBI):
    gates_r, gates_z, free = np.split(w["weight_hh"], 3)
    values, vectors = np.linalg.eigh(1j * (free - free.T))  # a second way to the exponential
    turn = ((vectors * np.exp(-1j * values)) @ vectors.conj().T).real
    np.testing.assert_allclose(turn @ turn.T, np.eye(H), atol=1e-12)
    h, out = zeros(), []
    for x in x_TBI:
        r, z, n = split(x @ w["weight_ih"].T + w["bias_ih"], 3)
        r, z = sigmoid(r + h @ gates_r.T), sigmoid(z + h @ gates_z.T)
        inner = n + r * (h @ turn.T)
        new = np.sign(inner) * np.maximum(np.abs(inner) + w["threshold"], 0)
        h = z * h + (1 - z) * new
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


@pytest.mark.parametrize("label", case)
def test_follows_its_equation(plugins: Registry, label: str) -> None:
    name, options, written_out = case[label]
    follows(moved_cell(plugins, name, options), written_out)
