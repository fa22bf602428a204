"""The matrix products of the time loop, by the faster of the two CPU libraries inside torch."""

import torch
from torch import Tensor

# Below so many multiplications torch.mm is faster: a call of oneDNN costs 4 us more.
_WORTH_ONEDNN = 1 << 20


def product(
    x_MxK: Tensor, y_NxK: Tensor, plus: Tensor | None = None, out: Tensor | None = None
) -> Tensor:
    """Multiply by a transposed matrix, as a linear layer does.

        x y^T (+ plus)

    oneDNN takes half as long as the MKL behind torch.mm where MKL does not use AVX-512.

    Args:
        x_MxK: shape (M, K).
        y_NxK: shape (N, K); the transpose of a contiguous matrix is as fast.
        plus: what is added, shape (M, N) or (N,).
        out: where the result goes, shape (M, N).
    """
    if _suits_onednn(x_MxK, y_NxK):
        result = torch.ops.mkldnn._linear_pointwise.default(x_MxK, y_NxK, None, "none", [], "")
        return _added(result, plus, out)
    if plus is None:
        return torch.mm(x_MxK, y_NxK.t(), out=out)
    return torch.addmm(plus, x_MxK, y_NxK.t(), out=out)


def _added(result: Tensor, plus: Tensor | None, out: Tensor | None) -> Tensor:
    if plus is not None:
        return torch.add(result, plus, out=out)
    return result if out is None else out.copy_(result)


def _suits_onednn(x_MxK: Tensor, y_NxK: Tensor) -> bool:
    return (
        x_MxK.numel() * y_NxK.shape[0] > _WORTH_ONEDNN
        and x_MxK.dtype == torch.float32
        and x_MxK.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
    )
