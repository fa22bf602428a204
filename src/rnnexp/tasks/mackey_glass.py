"""A chaotic series to be forecast."""

from collections import deque
from functools import lru_cache

import numpy as np

from rnnexp.tasks.table import Values


@lru_cache(maxsize=1)
def mackey_glass(steps: int, *, delay: int = 17, settled: int = 1000, parts: int = 10) -> Values:
    """Integrate the equation of Mackey and Glass, by products and sums alone: alike everywhere.

    Args:
        steps: how many values.
        delay: time between cause and effect.
        settled: time that is left out in the beginning.
        parts: Euler steps of one unit of time.

    Returns:
        Its values, shape (steps,).
    """
    past, values = deque([1.2] * (delay * parts + 1), maxlen=delay * parts + 1), list[float]()
    for _ in range((settled + steps) * parts):
        z, before = past[-1], past[0]
        power = before * before
        power *= (power * power) * (power * power)
        past.append(z + (0.2 * before / (1 + power) - 0.1 * z) / parts)
        values.append(past[-1])
    return np.array(values[settled * parts :: parts])
