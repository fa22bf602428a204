"""Cells of stacked matrices: which blocks there are, and what the loop multiplies by."""

import pytest
import torch
from torch import Tensor

from rnnexp.cells import MatrixCell, PointwiseCell, require
from rnnexp.cells.init import antisymmetric, square, uniform
from rnnexp.errors import ConfigError
from rnnexp.recurrence import unroll
from rnnexp.registry import Registry
from rnnexp.training.omega import omega
from rnnexp.types import State

B, I, H = 3, 2, 4  # noqa: E741


class Some(PointwiseCell):
    """Three gates, of which the first two have a recurrent matrix."""

    num_gates = 3
    num_recurrent = 2

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        return (torch.tanh((wx_BGH + rh_BGH).sum(-2)),)


class Without(Some):
    """The same without a recurrent matrix."""

    num_recurrent = 0


class Biased(Some):
    """A bias beside the one matrix, and a gate that scales their sum."""

    num_recurrent = 1
    recurrent_bias = True

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        wx_n, wx_r, wx_z = wx_BGH.unbind(-2)
        h = torch.tanh(wx_n + torch.sigmoid(wx_r) * rh_BGH.unbind(-2)[0])
        return (torch.lerp(h, state[0], torch.sigmoid(wx_z)),)


class Shrinking(Some):
    """A recurrent matrix that loses a block."""

    blocks = 2

    def recurrent_weight(self) -> Tensor:
        return super().recurrent_weight()[: self.blocks * self.hidden_size]


class Shared(MatrixCell):
    """One gate and two matrices with biases of their own."""

    num_gates = 1
    num_recurrent = 2
    recurrent_bias = True

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        return self.recur(1, state[0]), state


def test_gates_without_a_matrix_get_zeros() -> None:
    cell, h = Some(I, hidden_size=H), torch.randn(B, H)
    assert cell.weight_hh is not None
    assert cell.weight_hh.shape == (2 * H, H)
    rh = cell.project_recurrent(h)
    assert rh.shape == (B, 3, H)
    assert not rh[:, 2].any()
    torch.testing.assert_close(rh[:, 1], h @ cell.weight_hh[H:].T)
    full = cell.full_recurrent_weight()
    assert torch.equal(full[: 2 * H], cell.weight_hh)
    assert not full[2 * H :].any()
    torch.testing.assert_close(rh.flatten(1), h @ full.T)


def test_no_matrix_is_no_parameter_and_no_product() -> None:
    cell = Without(I, hidden_size=H)
    assert cell.weight_hh is None
    assert "weight_hh" not in dict(cell.named_parameters())
    assert not cell.project_recurrent(torch.randn(B, H)).any()
    assert cell.full_recurrent_weight().shape == (3 * H, H)


# With many rows two threads share the work; 5 units fill no register.
@pytest.mark.parametrize("kind", [Some, Without, Biased])
@pytest.mark.parametrize(("rows", "units"), [(B, H), (B, 5), (3000, 8)])
@pytest.mark.parametrize("backend", ["pointwise", "native"])
def test_fast_backends_know_missing_blocks(
    kind: type[PointwiseCell], rows: int, units: int, backend: str
) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(2)
    cell = kind(I, hidden_size=units).double()
    if cell.bias_hh is not None:
        cell.bias_hh.data.normal_()
    x = torch.randn(5, rows, I, dtype=torch.float64)

    def found(name: str) -> list[Tensor]:
        outputs = unroll(cell, x, backend=name).outputs_TBH
        return [outputs, *torch.autograd.grad(outputs.sin().sum(), list(cell.parameters()))]

    try:
        for mine, wanted in zip(found(backend), found("loop"), strict=True):
            torch.testing.assert_close(mine, wanted, rtol=0, atol=1e-12 * rows / B)
    finally:
        torch.set_num_threads(1)


def test_a_matrix_that_has_lost_a_block_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cell, x = Shrinking(I, hidden_size=H), torch.randn(5, B, I)
    unroll(cell, x, backend="native")
    # No option of the cell: nothing tells that it is another.
    monkeypatch.setattr(Shrinking, "blocks", 1)
    with pytest.raises(ConfigError, match=r"recurrent_weight\(\): expected 32 numbers"):
        unroll(cell, x, backend="native")


def test_recur_is_one_block_of_all_products() -> None:
    cell, h = Shared(I, hidden_size=H), torch.randn(B, H)
    assert cell.bias_hh is not None
    cell.bias_hh.data.normal_()
    both = cell.project_recurrent(h)
    assert both.shape == (B, 2, H)
    for gate in range(2):
        torch.testing.assert_close(cell.recur(gate, h), both[:, gate])


def test_omega_needs_a_recurrent_matrix(plugins: Registry) -> None:
    cell = plugins.get("cell", "ind_rnn").cls(I, hidden_size=H)
    grad, x = torch.randn(5, B, H), torch.randn(5, B, I)
    with pytest.raises(
        ConfigError, match="a PointwiseCell with a recurrent matrix; IndRNN is none"
    ):
        omega(cell, x, (torch.zeros(5, B, H),), grad, "paper")


def test_omega_reaches_the_matrix_behind_another(plugins: Registry) -> None:
    cell = plugins.get("cell", "antisymmetric").cls(I, hidden_size=H)
    grad, x = torch.randn(5, B, H), torch.randn(5, B, I)
    omega(cell, x, (torch.randn(5, B, H),), grad, "paper").backward()
    assert cell.weight_hh.grad.any()
    torch.testing.assert_close(cell.weight_hh.grad, -cell.weight_hh.grad.mT)


def test_antisymmetric_matrix_turns_and_damps() -> None:
    matrix = antisymmetric(torch.randn(H, H, dtype=torch.float64), 0.3)
    torch.testing.assert_close(
        torch.linalg.eigvals(matrix).real, torch.full((H,), -0.3, dtype=torch.float64)
    )


def test_uniform_and_square_are_trainable() -> None:
    vector, matrices = uniform(2, 50, low=0.2, high=0.3), square(H, 3)
    assert 0.2 <= vector.min() < 0.22 < 0.28 < vector.max() <= 0.3
    assert matrices.shape == (3 * H, H)
    assert vector.requires_grad
    assert matrices.requires_grad
    for block in matrices.detach().split(H):
        torch.testing.assert_close(block @ block.T, torch.eye(H), rtol=0, atol=1e-5)


def test_require_says_what_is_wrong() -> None:
    require(True, "keep", "between 0 and 1", 0.5)
    with pytest.raises(ConfigError, match=r"^cell\.keep: must be between 0 and 1, got 2\.$"):
        require(False, "keep", "between 0 and 1", 2)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("antisymmetric", "epsilon", 0.0),
        ("antisymmetric", "gamma", -0.1),
        ("gated_antisymmetric", "gamma", float("nan")),
        ("co_rnn", "dt", -0.1),
        ("ind_rnn", "slowest", 1.5),
        ("lem", "dt", 1.5),
        ("miru1", "keep", 1.5),
        ("miru2", "keep", -0.5),
        ("scrn", "alpha", 1.0),
        ("tau_gru", "delay", 0),
        ("uni_cornn", "dt", 0.0),
    ],
)
def test_impossible_option_is_refused(
    plugins: Registry, name: str, option: str, value: float
) -> None:
    with pytest.raises(ConfigError, match=rf"cell\.{option}: must be .*, got "):
        plugins.get("cell", name).cls(I, hidden_size=H, **{option: value})


def test_intersection_needs_no_matrix_where_widths_agree(plugins: Registry) -> None:
    cls = plugins.get("cell", "intersection_rnn").cls
    assert cls(H, hidden_size=H).widen is None
    assert cls(I, hidden_size=H).widen.weight.shape == (H, I)
