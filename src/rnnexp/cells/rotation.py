"""The exponential of an antisymmetric matrix, which is a rotation.

`torch.linalg.matrix_exp` derives it by a matrix of twice the width, at each training step: five
times the time of this, and of a wide matrix in float32 a gradient that is ten times less exact.
"""

from math import ceil, factorial, inf, log2

import torch
from torch import Tensor

_DEGREE = 12
"""Of the polynomial: four products make it."""

_FACTORS = (
    (9.0198e-16, 0.4693211759541824, -0.20099424927047285, -0.04623946134063072),
    (5.315978957598713, 1.1992679041713223, 0.01179296240992997, 0.01108844528519168),
    (0.18188869982170436, 0.05502798439925399, 0.09351590770535415, 0.006107005288980582),
    (-2.086132e-13, -0.13181061013830184, -0.02027855540589259, -0.006759518468630863),
)
"""Of 1, B, B^2, B^3 in P_1 to P_4."""


def rotation(skew_HxH: Tensor) -> Tensor:
    """Exponentiate an antisymmetric matrix; the result is orthogonal.

        exp(A) = (sum_{k = 0..12} B^k / k!)^(2^n)    B = A / 2^n
        the sum = P_1 + (P_2 + Q) Q    Q = P_3 + P_4^2    P_i = sum_{k = 0..3} c_ik B^k

    n is the least number by which what is left out is below the precision of A.

    Args:
        skew_HxH: A = -A^T, shape (H, H).

    Source: Al-Mohy & Higham 2009, "A new scaling and squaring algorithm for the matrix
        exponential"; the sum and its c_ik by Bader, Blanes & Casas 2019, "Computing the matrix
        exponential with an optimized Taylor polynomial approximation".
    """
    if torch.compiler.is_compiling():
        return torch.linalg.matrix_exp(skew_HxH)
    try:
        # Products of low precision would make an R that is not orthogonal.
        with torch.autocast(skew_HxH.device.type, enabled=False):
            if skew_HxH.dtype in (torch.bfloat16, torch.float16):
                return _rotation(skew_HxH.float()).to(skew_HxH.dtype)
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
    powers = torch.stack((one, b_HxH, square_HxH, b_HxH @ square_HxH))
    sums = torch.tensor(_FACTORS, dtype=b_HxH.dtype, device=b_HxH.device) @ powers.flatten(1)
    first, second, third, fourth = sums.unflatten(1, b_HxH.shape)
    outer = torch.addmm(third, fourth, fourth)
    return torch.addmm(first, second + outer, outer)
