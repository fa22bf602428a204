"""The exponential of an antisymmetric matrix against torch's in double precision."""

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from rnnexp.cells.rotation import rotation

SCALES = [0.0, 1e-4, 0.1, 1.0, 30.0]


def _skew(hidden: int, scale: float) -> Tensor:
    free = torch.randn(hidden, hidden, generator=torch.Generator().manual_seed(0)).double()
    return scale * (free - free.mT) / hidden**0.5


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("hidden", [1, 2, 33])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_equals_torchs(hidden: int, scale: float, dtype: torch.dtype, atol: float) -> None:
    skew = _skew(hidden, scale)
    found = rotation(skew.to(dtype))
    wanted = torch.linalg.matrix_exp(skew.to(dtype).double())
    tolerance = atol * max(1.0, scale)  # an angle is as exact as its size allows
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=tolerance)
    eye = torch.eye(hidden, dtype=torch.float64)
    torch.testing.assert_close(found.double() @ found.double().mT, eye, rtol=0, atol=tolerance)


@pytest.mark.parametrize("scale", SCALES[1:])
def test_gradient_is_torchs(scale: float) -> None:
    skew = _skew(6, scale).requires_grad_()
    cotangent = torch.randn(6, 6, generator=torch.Generator().manual_seed(1)).double()
    found, wanted = (
        torch.autograd.grad(f(skew), skew, cotangent)[0]
        for f in (rotation, torch.linalg.matrix_exp)
    )
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-10)


def test_is_orthogonal_under_autocast() -> None:
    skew = _skew(16, 1.0).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = rotation(skew)
    torch.testing.assert_close(found @ found.mT, torch.eye(16), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_of_half_precision_only_the_result_is_rounded(dtype: torch.dtype) -> None:
    skew = _skew(64, 1.0).to(dtype)
    found = rotation(skew)
    assert found.dtype == dtype
    torch.testing.assert_close(found, rotation(skew.double()).to(dtype), rtol=0, atol=5e-3)
    assert torch.equal(found, rotation(skew.float()).to(dtype))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_so(value: float) -> None:
    assert not rotation(torch.full((3, 3), value)).isfinite().any()


@pytest.mark.parametrize("scale", [1e9, 1e15, 1e25])
def test_a_matrix_that_has_diverged_is_no_error(scale: float) -> None:
    assert rotation(_skew(4, scale).float()).shape == (4, 4)


def test_many_at_once() -> None:
    skews = torch.stack([_skew(4, 1.0), _skew(4, 2.0)])
    found, wanted = torch.func.vmap(rotation)(skews), torch.linalg.matrix_exp(skews)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_shape_alone() -> None:
    assert rotation(torch.zeros(4, 4, device="meta")).shape == (4, 4)


@pytest.mark.slow
def test_is_exported_and_compiled_as_one_graph() -> None:
    torch.compile(rotation, fullgraph=True, backend="eager")(_skew(4, 1.0))
    make_fx(rotation, tracing_mode="fake")(_skew(4, 1.0))
