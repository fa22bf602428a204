"""elman, lstm and gru against torch's own: outputs and all gradients, through every backend."""

import pytest
import torch
from torch import Tensor, nn

from rnnexp.cells import PointwiseCell
from rnnexp.recurrence import BACKENDS, unroll
from rnnexp.recurrence.backends import reason_against
from rnnexp.registry import Registry

T, B, I, H = 7, 3, 5, 4  # noqa: E741
CASES = {
    "elman": (nn.RNN, {}, {}),
    "elman_relu": (nn.RNN, {"nonlinearity": "relu"}, {"nonlinearity": "relu"}),
    "lstm": (nn.LSTM, {}, {}),
    "gru": (nn.GRU, {}, {}),
}
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def _pair(plugins: Registry, case: str, dtype: torch.dtype) -> tuple[PointwiseCell, nn.RNNBase]:
    cls, vendor_options, options = CASES[case]
    torch.manual_seed(0)
    vendor = cls(I, H, **vendor_options).to(dtype)
    cell = plugins.get("cell", case.removesuffix("_relu")).cls(I, hidden_size=H, **options)
    cell = cell.to(dtype)
    with torch.no_grad():
        cell.weight_ih.copy_(vendor.weight_ih_l0)
        cell.weight_hh.copy_(vendor.weight_hh_l0)
        if cell.recurrent_bias:
            cell.bias_ih.copy_(vendor.bias_ih_l0)
            cell.bias_hh.copy_(vendor.bias_hh_l0)
        else:
            cell.bias_ih.copy_(vendor.bias_ih_l0 + vendor.bias_hh_l0)
    return cell, vendor


def _weigh(tensors: list[Tensor]) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return sum(
        (t * torch.randn(t.shape, generator=generator, dtype=t.dtype)).sum() for t in tensors
    )


def _vendor_results(vendor: nn.RNNBase, leaves: list[Tensor]) -> list[Tensor]:
    start = [s.unsqueeze(0) for s in leaves[1:]]
    outputs, last = vendor(leaves[0], tuple(start) if len(start) > 1 else start[0])
    found = [outputs, *(s[0] for s in (last if isinstance(last, tuple) else (last,)))]
    names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    grads = torch.autograd.grad(_weigh(found), [*leaves, *(getattr(vendor, n) for n in names)])
    return [*found, *grads]


def _own_results(cell: PointwiseCell, leaves: list[Tensor], backend: str) -> list[Tensor]:
    run = unroll(cell, leaves[0], tuple(leaves[1:]), backend=backend)
    found = [run.outputs_TBH, *run.state]
    weights = [cell.weight_ih, cell.weight_hh, cell.bias_ih]
    weights += [cell.bias_hh if cell.bias_hh is not None else cell.bias_ih]
    return [*found, *torch.autograd.grad(_weigh(found), [*leaves, *weights])]


@pytest.mark.parametrize("backend", sorted(set(BACKENDS) - {"parallel"}))
@pytest.mark.parametrize("dtype", TOLERANCE, ids=["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_equals_torch(plugins: Registry, case: str, dtype: torch.dtype, backend: str) -> None:
    cell, vendor = _pair(plugins, case, dtype)
    if reason_against(backend, cell) is not None:
        pytest.skip(f"{backend} does not run {case}")
    shapes = [(T, B, I), *[(B, H)] * cell.num_states]
    leaves = [torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes]
    own, wanted = _own_results(cell, leaves, backend), _vendor_results(vendor, leaves)
    assert len(own) == len(wanted)
    for a, b in zip(own, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("case", CASES)
def test_starts_from_zeros_as_torch_does(plugins: Registry, case: str) -> None:
    cell, vendor = _pair(plugins, case, torch.float64)
    x = torch.randn(T, B, I, dtype=torch.float64)
    outputs = unroll(cell, x, backend="auto").outputs_TBH
    torch.testing.assert_close(outputs, vendor(x)[0], rtol=0, atol=1e-12)
