"""The global random generators, which a look at a cell must not move."""

import random
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

Drawn = Callable[[], bool]


@contextmanager
def generators_kept(like: Tensor) -> Generator[Drawn]:
    """Leave the generators of torch, numpy and Python as they were.

    Args:
        like: a tensor; where it is on a GPU, that GPU's generator is kept too.

    Returns:
        What tells, within the block, whether one of them has been drawn from.
    """
    python, of_numpy = random.getstate(), np.random.get_state()
    before = _states(like)
    with torch.random.fork_rng(devices=[like.device] if like.is_cuda else []):
        try:
            yield lambda: _states(like) != before
        finally:
            random.setstate(python)
            np.random.set_state(of_numpy)


def _states(like: Tensor) -> tuple[Any, ...]:
    # As what can be compared.
    name, words, *rest = np.random.get_state(legacy=True)
    of_torch = [torch.get_rng_state()]
    if like.is_cuda:
        of_torch.append(torch.get_device_module("cuda").get_rng_state(like.device))
    numbers = [state.tolist() for state in of_torch]
    return random.getstate(), name, np.asarray(words).tobytes(), rest, numbers
