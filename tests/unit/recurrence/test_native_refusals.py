"""What cannot be compiled: it is named, and runs by another backend."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnnexp.errors import ConfigError
from rnnexp.recurrence import choose_backend, unroll
from rnnexp.recurrence.native import reason_against
from rnnexp.recurrence.native.build import find_compiler

from .subjects import cell_of

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler")


class _Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.sign(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def _half_hidden(x: Tensor) -> Tensor:
    with torch.no_grad():
        y = x.tanh()
    return x * y


REFUSED: dict[str, tuple[Callable[[Any, Tensor], Tensor], str]] = {
    "cumsum": (lambda c, x: x.cumsum(-1), "aten.cumsum"),
    "layer norm": (lambda c, x: F.layer_norm(x, (12,)), "aten.native_layer_norm"),
    "softmax": (lambda c, x: x.softmax(-1), "aten._softmax"),
    "mean of units": (lambda c, x: x - x.mean(-1, keepdim=True), "aten.mean"),
    "sum of units": (lambda c, x: x - x.sum(-1, keepdim=True), "hidden units"),
    "reversed units": (lambda c, x: x.flip(-1), "aten.flip"),
    "rows": (lambda c, x: x - x[:1], "rows"),
    "second product": (lambda c, x: x @ c.weight_hh[:12], "aten.mm"),
    "in place": (lambda c, x: x.tanh().mul_(2), "aten.mul_"),
    "random": (lambda c, x: x * torch.rand(12), "random"),
    "dropout": (lambda c, x: F.dropout(x), "random"),
    "other type": (lambda c, x: x.double().tanh().float(), "float64"),
    "value": (lambda c, x: x if x.sum() > 0 else -x, "cannot be recorded"),
    "list of a buffer": (lambda c, x: x * c.gain.tolist(), "tolist()"),
    "numpy of a buffer": (lambda c, x: x * float(c.gain.numpy()), "numpy()"),
    "array of a buffer": (lambda c, x: x * float(np.asarray(c.gain.cpu())), "__array__()"),
    "own gradient": (lambda c, x: _Straight.apply(x), "autograd Function"),
    "no_grad": (lambda c, x: _half_hidden(x), "no_grad"),
    "tensor in an attribute": (lambda c, x: x * c.loose, "register_buffer"),
    "parameter of rows": (lambda c, x: x * c.column, "mixes gates with rows"),
}


DERIVED_BY_AUTOGRAD = ("tensor in an attribute", "own gradient", "no_grad")
"""Elementwise all the same: the pointwise backend, which asks autograd, is right about them."""


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_compiled_is_named_and_runs_elsewhere(name: str) -> None:
    function, words = REFUSED[name]
    cell = cell_of(lambda c, wx, rh, s: (function(c, (wx + rh).sum(-2)),))
    cell.loose = torch.ones(12)
    cell.register_buffer("gain", torch.tensor(0.5))
    cell.column = nn.Parameter(torch.ones(2, 1))
    reason = reason_against(cell)
    assert reason is not None
    assert words in reason
    assert choose_backend(cell) == ("pointwise" if name in DERIVED_BY_AUTOGRAD else "loop")
    with pytest.raises(ConfigError, match="backend=native cannot run Made"):
        unroll(cell, torch.zeros(2, 3, 4), backend="native")


def test_other_cells_are_refused_in_words() -> None:
    class OwnProduct(type(cell_of(lambda *given: given[3]))):
        def project_recurrent(self, h_BH: Tensor) -> Tensor:
            return torch.stack([h_BH, h_BH], -2)

    assert "project_recurrent" in str(reason_against(OwnProduct(4, hidden_size=12)))
    half = cell_of(lambda c, wx, rh, s: ((wx + rh).sum(-2),)).half()
    assert "float16" in str(reason_against(half))
    meta = cell_of(lambda c, wx, rh, s: ((wx + rh).sum(-2),)).to("meta")
    assert "meta" in str(reason_against(meta))
