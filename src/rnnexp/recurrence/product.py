"""The matrix products of a recurrence, by the faster of the two CPU libraries inside torch.

oneDNN takes half as long as the MKL behind `torch.mm` where the CPU has AVX-512 and MKL does not
use it, as on AMD. Where both use it, as on Intel, MKL takes 0.5 to 0.9 of oneDNN's time; where
there is AVX2 at most, 0.8 to 0.95.
"""

import platform
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rnnexp.errors import ConfigError
from rnnexp.recurrence.inside_torch import are_batched
from rnnexp.recurrence.workspace import buffer

Product = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
"""From x_MxK, plus and out: ``x y^T (+ plus)``, in ``out`` where it is given."""

# Below so many multiplications torch.mm is faster: a call of oneDNN costs 4 us more.
_WORTH_ONEDNN = 1 << 20
# Thin matrices are many times slower in oneDNN.
_THIN = 8
# Bytes above which the memory of a result goes back to the system, which hands out every page anew.
_LARGEST = 32 << 20


def product_with(y_NxK: Tensor, rows: int) -> Product:
    """Choose how to multiply with a transposed matrix, for many products of the same shape.

    Args:
        y_NxK: shape (N, K), not to change meanwhile: it may be copied.
        rows: M of the matrices x that come.
    """
    if not _suits_onednn(y_NxK, rows):
        # MKL turns a transposed matrix round at each product, which takes a fifth of its time.
        return _by_mm(y_NxK.t().contiguous().t())
    return lambda x, plus, out: _added(_by_onednn(x, y_NxK), plus, out)


def product(x_MxK: Tensor, y_NxK: Tensor) -> Tensor:
    """Multiply with a transposed matrix once: ``x y^T``, shape (M, N)."""
    if _suits_onednn(y_NxK, x_MxK.shape[0]):
        return _by_onednn(x_MxK, y_NxK)
    return torch.mm(x_MxK, y_NxK.t())


def linear(x_BI: Tensor, weight_OxI: Tensor, bias_O: Tensor | None) -> Tensor:
    """Compute ``W x (+ b)`` as `torch.nn.functional.linear` does, in memory that is used again."""
    if torch.is_autocast_enabled(x_BI.device.type) or not x_BI.numel():
        return torch.nn.functional.linear(x_BI, weight_OxI, bias_O)
    flat = _Linear.apply(x_BI.reshape(-1, x_BI.shape[-1]), weight_OxI, bias_O)
    assert isinstance(flat, Tensor)
    return flat.view(*x_BI.shape[:-1], -1)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BI: Tensor, weight_OxI: Tensor, bias_O: Tensor | None) -> Tensor:
        """Compute ``W x (+ b)``."""
        ctx.save_for_backward(x_BI, weight_OxI)
        rows, wide = x_BI.shape[0], weight_OxI.shape[0]
        if _suits_onednn(weight_OxI, rows) and rows * wide * x_BI.element_size() <= _LARGEST:
            return _by_onednn(x_BI, weight_OxI, bias_O)
        return _by_mm(weight_OxI)(x_BI, bias_O, buffer(x_BI, (rows, wide)))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Compute dL/dx, dL/dW and dL/db."""
        require_plain_gradient(grads)
        (grad_BO,) = grads
        x_BI, weight_OxI = ctx.saved_tensors
        return (
            product(grad_BO, weight_OxI.t()) if ctx.needs_input_grad[0] else None,
            gram(grad_BO, x_BI) if ctx.needs_input_grad[1] else None,
            grad_BO.sum(0) if ctx.needs_input_grad[2] else None,
        )


def gram(a_BN: Tensor, b_BK: Tensor) -> Tensor:
    """Sum the outer products of all rows: ``a^T b``, shape (N, K)."""
    # As (b^T a)^T, because oneDNN takes longer the other way round.
    return product(b_BK.t(), a_BN.t()).t()


def require_plain_gradient(grads: Sequence[Tensor | None], backend: str = "pointwise") -> None:
    """Stop a backward pass that is to give more than one gradient, to be taken as it is.

    Of what is to be derived once more, terms would be lost.

    Args:
        grads: those that it begins with.
        backend: whose pass it is.

    Raises:
        ConfigError: autograd was asked for ``create_graph=True``, or for many gradients at once.
    """
    if are_batched(grads):
        raise ConfigError(
            f"unroll.backend={backend} goes back for one gradient at a time, and many at once were "
            "asked for (is_grads_batched=True, vectorize=True, torch.vmap). Use "
            "unroll.backend=loop."
        )
    if torch.is_grad_enabled():
        raise ConfigError(
            f"unroll.backend={backend} has no second derivatives, which create_graph=True asks "
            "for. Use unroll.backend=loop."
        )


def _by_mm(y_NxK: Tensor) -> Product:
    y_KxN = y_NxK.t()
    return lambda x, plus, out: (
        torch.mm(x, y_KxN, out=out) if plus is None else torch.addmm(plus, x, y_KxN, out=out)
    )


def _by_onednn(x_MxK: Tensor, y_NxK: Tensor, plus_N: Tensor | None = None) -> Tensor:
    linear = torch.ops.mkldnn._linear_pointwise.default
    return linear(x_MxK, y_NxK, plus_N, "none", [], "")


def _added(result: Tensor, plus: Tensor | None, out: Tensor | None) -> Tensor:
    if plus is not None:
        return torch.add(result, plus, out=out)
    return result if out is None else out.copy_(result)


@lru_cache
def _is_onednn_faster() -> bool:
    return (
        torch.backends.mkldnn.is_available()
        and "AVX512" in torch.backends.cpu.get_cpu_capability()
        and "GenuineIntel" not in _cpu()
    )


def _cpu() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # no Linux
        return platform.processor()


def _suits_onednn(y_NxK: Tensor, rows: int) -> bool:
    return (
        _is_onednn_faster()
        and y_NxK.numel() * rows > _WORTH_ONEDNN
        and min(rows, *y_NxK.shape) >= _THIN
        and y_NxK.dtype == torch.float32
        and y_NxK.device.type == "cpu"
    )
