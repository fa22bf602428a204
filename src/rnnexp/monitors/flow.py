"""How the gradient vanishes or explodes on its way back through time. Imports no torch."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rnnexp.errors import ConfigError

Norms = NDArray[np.float64]
_FLAT = 1e-6
"""Octaves per step: below this slope the rounding of float32 decides its sign."""


def vanishing_ratio(grad_norm_T: ArrayLike) -> float:
    """Compare the gradient that reaches the first step with that of the last that has one.

        log10(||dL/dh_1|| / ||dL/dh_n||),    n the last step whose norm is not zero

    n is T, but where no later target reads h_T: the output of the step may be made of h_{T-1}.

    Args:
        grad_norm_T: norm of dL/dh_t of each step, shape (T,).

    Returns:
        Decades: -3 where a thousandth arrives, above 0 where the gradient explodes. -inf where
        nothing arrives (a true zero, or underflow), NaN where all are zero or one of the two is not
        finite. Never +inf.

    Raises:
        ConfigError: the array is empty or has more than one axis.
    """
    norms = _checked(grad_norm_T)
    nonzero_T = norms[norms != 0]
    if not len(nonzero_T) or not np.isfinite([norms[0], nonzero_T[-1]]).all():
        return math.nan
    return _log10(float(norms[0])) - _log10(float(nonzero_T[-1]))


def half_life(grad_norm_T: ArrayLike) -> float:
    """Tell over how many steps back in time the gradient falls to one half.

        log2 ||dL/dh_t|| ~ slope * t + const,    half-life = 1 / slope

    The line is that of least squares over the steps whose norm is finite and above zero, so that
    underflow does not bend it. A gradient that decays backwards grows with t: slope above 0.

    Args:
        grad_norm_T: norm of dL/dh_t of each step, shape (T,).

    Returns:
        Time steps; inf where the norm does not decay (slope 0) or grows backwards (slope below
        0), NaN where fewer than two steps have a usable norm.

    Raises:
        ConfigError: the array is empty or has more than one axis.
    """
    norms = _checked(grad_norm_T)
    t = np.flatnonzero(np.isfinite(norms) & (norms > 0))
    if len(t) < 2:
        return math.nan
    from_mean = t - t.mean()
    slope = float(from_mean @ np.log2(norms[t]) / (from_mean @ from_mean))
    return 1 / slope if slope > _FLAT else math.inf


def peak_step(grad_norm_T: ArrayLike) -> int:
    """Find the step at which the norm of dL/dh_t is largest.

    Args:
        grad_norm_T: norm of dL/dh_t of each step, shape (T,).

    Returns:
        The index into ``grad_norm_T``, from 0. Where norms are NaN or infinite, the last of those:
        the first that the backward pass met.

    Raises:
        ConfigError: the array is empty or has more than one axis.
    """
    norms = _checked(grad_norm_T)
    broken = np.flatnonzero(~np.isfinite(norms))
    return int(broken[-1]) if len(broken) else int(norms.argmax())


def _checked(grad_norm_T: ArrayLike) -> Norms:
    norms = np.asarray(grad_norm_T, dtype=np.float64)
    if norms.ndim != 1 or norms.size == 0:
        raise ConfigError(f"grad_norm_T: expected shape (T,) with T >= 1, got {norms.shape}.")
    return norms


def _log10(value: float) -> float:
    return math.log10(value) if value > 0 else -math.inf
