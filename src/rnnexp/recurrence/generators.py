"""Torch's global random generators, which a look at a cell must not move."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def generators_kept(like: Tensor) -> AbstractContextManager[None]:
    """Leave the generator of the CPU, and that of the GPU where a tensor is, as they were."""
    return torch.random.fork_rng(devices=[like.device] if like.is_cuda else [])
