"""Cells linear in their state or with a memory, against their papers' equations in NumPy."""

import numpy as np
import pytest
import torch

from rnnexp.registry import Registry

from .equations import B, Cases, H, I, follows, moved_cell, sigmoid, split, sums, zeros

case = Cases()


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


@pytest.mark.parametrize("label", case)
def test_follows_its_equation(plugins: Registry, label: str) -> None:
    name, options, written_out = case[label]
    cell = moved_cell(plugins, name, options)
    if name == "lmu":  # its constants are rounded to single precision
        keep, write = _legendre(4, 7.0)
        np.testing.assert_allclose(cell.keep, keep, atol=1e-6)
        np.testing.assert_allclose(cell.write, write, atol=1e-6)
        cell.keep.copy_(torch.from_numpy(keep))
        cell.write.copy_(torch.from_numpy(write))
    follows(cell, written_out)
