"""A chaotic series to be forecast."""

from collections import deque
from functools import lru_cache

import numpy as np

from rnnexp.tasks.table import Values

_DELAY = 17
"""Time between cause and effect."""
_SETTLED = 1000
"""Time that is left out in the beginning."""
_PARTS = 10
"""Euler steps of one unit of time."""


@lru_cache(maxsize=1)
def mackey_glass(steps: int) -> Values:
    """Integrate the equation of Mackey and Glass, by products and sums alone: alike everywhere.

    Args:
        steps: how many values.

    Returns:
        Its values, shape (steps,).
    """
    past, values = deque([1.2] * (_DELAY * _PARTS + 1), maxlen=_DELAY * _PARTS + 1), list[float]()
    for _ in range((_SETTLED + steps) * _PARTS):
        z, before = past[-1], past[0]
        power = before * before
        power *= (power * power) * (power * power)
        past.append(z + (0.2 * before / (1 + power) - 0.1 * z) / _PARTS)
        values.append(past[-1])
    return np.array(values[_SETTLED * _PARTS :: _PARTS])
