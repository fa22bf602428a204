import pytest
import torch

from rnnexp.recurrence.product import gram, linear, product, product_with

SIZES = [(1, 1, 1), (5, 3, 2), (64, 256, 128), (2000, 1, 300), (1, 2000, 600), (300, 40, 100)]


@pytest.mark.parametrize("onednn", [False, torch.backends.mkldnn.is_available()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("m", "n", "k"), SIZES)
def test_products(
    m: int, n: int, k: int, dtype: torch.dtype, onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnnexp.recurrence.product._is_onednn_faster", lambda: onednn)
    x, y, z = torch.randn(m, k).to(dtype), torch.randn(n, k).to(dtype), torch.randn(m, n).to(dtype)
    wanted = x.double() @ y.double().t()
    out = torch.full((m, n), torch.nan, dtype=dtype)
    product_with(y, m)(x, None, out)
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(out.double(), wanted, **close)
    product_with(y, m)(x, z, out)
    torch.testing.assert_close(out.double(), wanted + z, **close)
    torch.testing.assert_close(product(x, y).double(), wanted, **close)
    torch.testing.assert_close(product(x, y.t().contiguous().t()).double(), wanted, **close)


def test_gram() -> None:
    a, b = torch.randn(3000, 40), torch.randn(3000, 30)
    torch.testing.assert_close(gram(a, b), a.t() @ b, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("largest", [0, 32 << 20])
@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (20, 32, 64)])
def test_linear_is_torchs(
    shape: tuple[int, ...], largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnnexp.recurrence.product._LARGEST", largest)
    x = torch.randn(shape, requires_grad=True)
    weight = torch.randn(256, shape[-1], requires_grad=True)
    bias = torch.randn(256, requires_grad=True)
    found, wanted = linear(x, weight, bias), torch.nn.functional.linear(x, weight, bias)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    cotangent = torch.randn_like(wanted)
    for a, b in zip(
        torch.autograd.grad(found, (x, weight, bias), cotangent),
        torch.autograd.grad(wanted, (x, weight, bias), cotangent),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


def test_linear_without_bias_is_torchs() -> None:
    x, weight = torch.randn(5, 4), torch.randn(3, 4, requires_grad=True)
    found, wanted = linear(x, weight, None), torch.nn.functional.linear(x, weight)
    torch.testing.assert_close(found, wanted)
    (grad,) = torch.autograd.grad(found.sum(), weight)
    torch.testing.assert_close(grad, torch.autograd.grad(wanted.sum(), weight)[0])
