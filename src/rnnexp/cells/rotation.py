"""The exponential of an antisymmetric matrix, which is a rotation.

`torch.linalg.matrix_exp` derives it by a matrix of twice the width, at each training step: five
times the time of this, and a gradient of float32 that is ten times less exact.
"""

from math import ceil, factorial, inf, log2

import torch
from torch import Tensor

_DEGREE = 9
"""Of the polynomial: four products make it."""


def rotation(skew_HxH: Tensor) -> Tensor:
    """Exponentiate an antisymmetric matrix; the result is orthogonal.

        exp(A) = (sum_{k = 0..9} B^k / k!)^(2^n)    B = A / 2^n

    n is the least number by which what is left out is below the precision of A.

    Args:
        skew_HxH: A = -A^T, shape (H, H).

    Source: Al-Mohy & Higham 2009, "A new scaling and squaring algorithm for the matrix
        exponential"; the sum by Paterson & Stockmeyer 1973.
    """
    if torch.compiler.is_compiling():
        return torch.linalg.matrix_exp(skew_HxH)
    try:
        # Products of low precision would make an R that is not orthogonal.
        with torch.autocast(skew_HxH.device.type, enabled=False):
            return _rotation(skew_HxH)
    except RuntimeError:  # where numbers cannot be looked at: under vmap, on the meta device
        return torch.linalg.matrix_exp(skew_HxH)


def _rotation(skew_HxH: Tensor) -> Tensor:
    square = skew_HxH @ skew_HxH
    times = _doublings(square)
    result = _polynomial(skew_HxH * 0.5**times, square * 0.25**times)
    for _ in range(times):
        result = result @ result
    return result


def _doublings(square_HxH: Tensor) -> int:
    # Of A, which is normal, the norm is the root of that of its square.
    largest = float(torch.linalg.matrix_norm(square_HxH.detach(), 1)) ** 0.5
    if not 0 < largest < inf:
        return 0
    precision = torch.finfo(square_HxH.dtype).eps / 2
    reach = (precision * factorial(_DEGREE + 1)) ** (1 / (_DEGREE + 1))
    return max(0, ceil(log2(largest / reach)))


def _polynomial(b_HxH: Tensor, square_HxH: Tensor) -> Tensor:
    one = torch.eye(len(b_HxH), dtype=b_HxH.dtype, device=b_HxH.device)
    cube = b_HxH @ square_HxH

    def three_from(k: int) -> Tensor:  # times (k + 1)!
        return torch.add(torch.add(b_HxH, square_HxH, alpha=1 / (k + 2)), one, alpha=k + 1)

    result = torch.add(three_from(6) / factorial(7), cube, alpha=1 / factorial(_DEGREE))
    for k in (3, 0):
        result = torch.addmm(three_from(k), cube, result, beta=1 / factorial(k + 1))
    return result
