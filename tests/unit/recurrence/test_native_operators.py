"""Which operators of torch an update may use, and what is said of the others."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnnexp.errors import ConfigError
from rnnexp.recurrence.backends import run_loop
from rnnexp.recurrence.native import reason_against, run_native
from rnnexp.recurrence.native.build import find_compiler
from rnnexp.types import State

from .subjects import cell_of

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler")

# Numbers near 0 and far from it, ties, the edges of clamps, and both sides of every branch.
SPECIAL = [-30.0, -3.0, -1.0, -0.5, -1e-3, -0.0, 0.0, 1e-3, 0.5, 1.0, 3.0, 30.0]


GROUPS: dict[str, list[Callable[[Tensor, Tensor], Tensor]]] = {
    "bounded": [
        lambda a, b: torch.tanh(a),
        lambda a, b: torch.sigmoid(a),
        lambda a, b: torch.erf(a),
        lambda a, b: torch.sin(a) * torch.cos(b),
        lambda a, b: F.hardtanh(a, -0.5, 1.0),
        lambda a, b: F.softsign(a),
    ],
    "rectified": [
        lambda a, b: F.relu(a),
        lambda a, b: F.leaky_relu(a, 0.1),
        lambda a, b: F.relu6(a),
        lambda a, b: F.elu(a, 0.7),
        lambda a, b: F.selu(a),
        lambda a, b: F.threshold(a, 0.5, 0.1),
    ],
    "smooth": [
        lambda a, b: F.softplus(a, beta=2, threshold=10),
        lambda a, b: F.silu(a),
        lambda a, b: F.gelu(a),
        lambda a, b: F.gelu(a, approximate="tanh"),
        lambda a, b: F.mish(a),
    ],
    "powers": [
        lambda a, b: a**0 + a**2 + a**3 + 1 / (a.abs() + 1) ** 1.7,
        lambda a, b: torch.sqrt(a.abs() + 0.1),
        lambda a, b: torch.rsqrt(a.abs() + 0.1),
        lambda a, b: torch.reciprocal(a.abs() + 0.1),
        lambda a, b: torch.exp(-a.abs()) + torch.expm1(-b.abs()),
        lambda a, b: torch.log(a.abs() + 0.1) + torch.log1p(b.abs()),
    ],
    "arithmetic": [
        lambda a, b: torch.add(a, b, alpha=2) - torch.sub(a, b, alpha=0.5),
        lambda a, b: (1 - a) * -b / (2 + b.abs()),
        lambda a, b: torch.lerp(a, b, 0.3) + torch.lerp(a, b, torch.sigmoid(a)),
        lambda a, b: torch.addcmul(a, a, b, value=0.2),
        lambda a, b: torch.addcdiv(a, b, a.abs() + 1, value=0.2),
        lambda a, b: torch.remainder(a, b.abs() + 0.7) + torch.remainder(a, -b.abs() - 0.3),
        lambda a, b: a % 3 + torch.remainder(b, -1.7),
        lambda a, b: a * torch.ones_like(b) + torch.full_like(b, 3.0) * b.detach(),
    ],
    "choices": [
        lambda a, b: torch.maximum(a, b) * 2 + torch.minimum(a, b),
        lambda a, b: torch.where(a > b, a, 3 * b) + torch.where(a <= 0.5, a * b, 1.0),
        lambda a, b: (a > 0) * b + (a >= 0.5).to(a.dtype) * b,
        lambda a, b: torch.where((a < b).logical_not(), a, b) + (a == b) * a + (a != b) * b,
        lambda a, b: a.clamp(-1, 3) + a.clamp(min=0.5) + a.clamp(max=0.5),
        lambda a, b: a.abs() + torch.sign(a) * b,
    ],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("group", GROUPS)
def test_operators_equal_those_of_torch(group: str, dtype: torch.dtype) -> None:
    functions = GROUPS[group]

    def update(cell: Any, wx: Tensor, rh: Tensor, state: State) -> State:
        a, b = (wx + rh).unbind(-2)
        return (0 * state[0], *(function(a, b) for function in functions))

    cell = cell_of(update, states=len(functions) + 1).to(dtype)
    assert reason_against(cell) is None
    with torch.no_grad():  # each pair of special numbers comes in as it is
        cell.weight_ih.copy_(torch.eye(2).repeat_interleave(12, 0).repeat(1, 2))
        cell.weight_ih[:, 2:] = 0
    pairs = torch.cartesian_prod(*[torch.tensor(SPECIAL)] * 2).to(dtype)
    inputs = torch.cat([pairs, torch.zeros_like(pairs)], -1).unsqueeze(0)
    found = []
    for run in (run_native, run_loop):
        leaf = inputs.clone().requires_grad_()
        _, last = run(cell, leaf, cell.initial_state((len(pairs),)))
        values = [s[:, :1] for s in last[1:]]
        grads = [torch.autograd.grad(v.sum(), leaf, retain_graph=True)[0][..., :2] for v in values]
        found.append((values, grads))
    tolerance = 2e-6 if dtype == torch.float32 else 1e-12
    for i in range(len(functions)):
        for mine, theirs in zip(found[0], found[1], strict=True):
            torch.testing.assert_close(
                mine[i],
                theirs[i],
                rtol=tolerance,
                atol=tolerance,
                msg=lambda m, i=i: f"function {i} of {group}: {m}",
            )


def test_hardsigmoid_equals_that_of_torch() -> None:
    # Apart from the others: torch keeps its 1/6 as float32, whatever the type of the numbers.
    assert_like_the_loop(cell_of(lambda c, wx, rh, s: (F.hardsigmoid(wx + 3 * rh).sum(-2),)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "exp", "expm1"])
def test_own_functions_are_accurate_everywhere(name: str, dtype: torch.dtype) -> None:
    function = getattr(torch, name)

    def update(cell: Any, wx: Tensor, rh: Tensor, state: State) -> State:
        return (function((wx + 0 * rh).select(-2, 0)),)

    cell = cell_of(update, gates=1, units=1).to(dtype)
    nn.init.ones_(cell.weight_ih)
    nn.init.zeros_(cell.bias_ih)
    near, far = (
        torch.logspace(-30, 2, 20_000, dtype=dtype),
        torch.linspace(0, 90, 20_000, dtype=dtype),
    )
    ends = torch.tensor([0.0, 104.0, 720.0, 1e30, float("inf")], dtype=dtype)
    x = torch.cat([near, far, ends])
    x = torch.cat([x, -x, torch.tensor([float("nan")], dtype=dtype)])
    inputs = torch.cat([x.view(1, -1, 1), torch.zeros(1, len(x), 3, dtype=dtype)], -1)
    mine = run_native(cell, inputs, cell.initial_state((len(x),)))[0].flatten()
    exact = function(x.double())
    # In units of the last place: what is far below the smallest normal number may be 0.
    unit = torch.finfo(dtype)
    error = (mine.double() - exact).abs() / (exact.abs() * unit.eps + unit.tiny)
    within = error.nan_to_num(0.0)[exact.abs() < unit.max]
    assert within.max() < 4
    assert torch.equal(mine.isnan(), exact.isnan())
    assert torch.equal(mine.isinf(), exact.to(dtype).isinf())


SHAPES: dict[str, Callable[[Any, Tensor, Tensor, State], Tensor]] = {
    "select": lambda c, wx, rh, s: (wx + rh).select(-2, 1) * wx[..., 0, :],
    "chunk": lambda c, wx, rh, s: torch.cat([t.tanh() for t in (wx + rh).chunk(2, -2)], -2).sum(-2),
    "split": lambda c, wx, rh, s: sum(t.squeeze(-2) for t in wx.split([1, 1], -2)) + s[0],
    "stack": lambda c, wx, rh, s: torch.stack([*rh.unbind(-2), s[0]], -2).sum(-2) + wx.sum(-2),
    "slice": lambda c, wx, rh, s: (wx[..., 1:, :] * rh[..., :1, :]).squeeze(-2),
    "unsqueeze": lambda c, wx, rh, s: (s[0].unsqueeze(-2) * wx + rh).sum(-2),
    "one recurrent gate only": lambda c, wx, rh, s: wx[..., 0, :] + torch.tanh(rh[..., 1, :]),
    "no recurrence": lambda c, wx, rh, s: wx[..., 0, :],
    "difference": lambda c, wx, rh, s: (wx - rh).tanh().sum(-2),
}


@pytest.mark.parametrize("name", SHAPES)
def test_gates_are_taken_apart_in_any_way(name: str) -> None:
    cell = cell_of(lambda *given: (SHAPES[name](*given),))
    assert_like_the_loop(cell)


def assert_like_the_loop(cell: Any) -> None:
    assert reason_against(cell) is None
    inputs = torch.randn(5, 3, 4)
    parameters = [p for p in cell.parameters() if p.requires_grad]
    found = []
    for run in (run_native, run_loop):
        outputs, last = run(cell, inputs, cell.initial_state((3,)))
        loss = outputs.square().sum() + last[-1].sum()
        found.append(
            [
                outputs,
                *torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True),
            ]
        )
    for one, other in zip(*found, strict=True):  # where many terms nearly cancel, as exact as these
        atol = 1e-5 * max(1.0, float(other.detach().abs().max()))
        torch.testing.assert_close(one, other, rtol=1e-4, atol=atol)


THETAS: dict[str, tuple[tuple[int, ...], Callable[[Any, Tensor], Tensor]]] = {
    "per unit": ((12,), lambda c, x: x * torch.sigmoid(c.theta)),
    "of another shape": ((1, 12), lambda c, x: x * c.theta.exp()),
    "one for all": ((), lambda c, x: x * c.theta),
    "one in an axis": ((1,), lambda c, x: x + c.theta),
    "a literal": ((12,), lambda c, x: x * torch.tensor(0.5) + c.theta * torch.tensor([2.0])),
    "beside a branch": ((12,), lambda c, x: torch.where(c.theta > 0, x, 2 * x) + c.theta),
    "as the state": ((12,), lambda c, x: x * 0 + c.theta),
    "by torch": ((12,), lambda c, x: x * c.theta.softmax(-1)),
    "by torch, then not": ((12,), lambda c, x: x * c.theta.cumsum(-1).tanh() + c.theta.sigmoid()),
    "not, then by torch": ((12,), lambda c, x: x * (c.theta.exp() + 1).softmax(-1)),
    "row by row": ((2, 12), lambda c, x: x * c.theta.unbind()[0].sigmoid() + c.theta[1]),
    "unit by unit": ((12,), lambda c, x: x * c.theta.unbind(-1)[3].tanh()),
    "beside some written out": (
        (12,),
        lambda c, x: x * c.theta.tanh() * torch.tensor([0.5, 2.0]).unbind()[0],
    ),
    "of rows that are summed": ((3, 12), lambda c, x: x * c.theta.sigmoid().sum(0) / 3),
    "a matrix of another shape": ((12, 5), lambda c, x: x * c.theta.mean(-1)),
}


@pytest.mark.parametrize("name", THETAS)
def test_parameters_enter_and_get_gradients(name: str) -> None:
    shape, function = THETAS[name]
    cell = cell_of(lambda c, wx, rh, s: (function(c, (wx + rh).tanh().sum(-2)),))
    cell.theta = nn.Parameter(torch.randn(shape))
    assert_like_the_loop(cell)


@pytest.mark.parametrize("other", [torch.randn(13), torch.randn(12).double()])
def test_a_parameter_that_has_become_another_is_refused(other: Tensor) -> None:
    cell = cell_of(lambda c, wx, rh, s: ((wx + rh).tanh().sum(-2) * c.theta,))
    cell.theta = nn.Parameter(torch.randn(12))
    assert_like_the_loop(cell)
    cell.theta = nn.Parameter(other)
    with pytest.raises(ConfigError, match=r"theta: expected 12 numbers of torch.float32"):
        run_native(cell, torch.randn(5, 3, 4), cell.initial_state((3,)))


def test_a_parameter_per_gate_and_a_buffer() -> None:
    cell = cell_of(lambda c, wx, rh, s: (((wx + rh).tanh() * c.theta).sum(-2) * c.mask,))
    cell.theta = nn.Parameter(torch.randn(2, 12))
    cell.register_buffer("mask", (torch.arange(12) % 2).float())
    assert_like_the_loop(cell)
    cell.mask = 1 - cell.mask
    assert_like_the_loop(cell)


def test_more_gates_than_a_panel_and_more_states() -> None:
    def update(cell: Any, wx: Tensor, rh: Tensor, state: State) -> State:
        s = (wx.sigmoid() * rh).tanh().unbind(-2)
        return s[0] * state[1] + s[1], s[2] + state[2] * s[3], s[4] * s[5] + s[6]

    assert_like_the_loop(cell_of(update, gates=7, states=3))


def test_an_input_product_of_its_own_is_kept() -> None:
    class Doubled(type(cell_of(lambda c, wx, rh, s: ((wx + rh).tanh().sum(-2),)))):
        def project_input(self, x_BI: Tensor) -> Tensor:
            return 2 * super().project_input(x_BI)

    assert_like_the_loop(Doubled(4, hidden_size=12))
