"""Memory of a run between its forward and its backward pass, used again by later runs."""

from collections import deque
from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

_KEPT = 16
_LARGEST = 64 << 20
"""Bytes beyond which a buffer is not kept: the operating system then needs it more."""
_free: deque[Tensor] = deque(maxlen=_KEPT)
"""Buffers that nobody uses; the longest unused falls out when there are too many."""


class Workspace:
    """Buffers that belong to one run until it releases them or is forgotten.

    Args:
        shapes: the shapes wanted.
        dtype: the type of their numbers, which are not set to anything.
    """

    def __init__(self, shapes: Sequence[Sequence[int]], dtype: torch.dtype) -> None:
        self.tensors = [_take(tuple(shape), dtype) for shape in shapes]

    def release(self) -> None:
        """Give the buffers back; they may be overwritten from here on."""
        _free.extend(t for t in self.tensors if t.nbytes <= _LARGEST)
        self.tensors = []

    def copy(self) -> "Workspace":
        """Make a second one with the same content."""
        twin = Workspace([t.shape for t in self.tensors], self.tensors[0].dtype)
        for mine, theirs in zip(twin.tensors, self.tensors, strict=True):
            mine.copy_(theirs)
        return twin

    def __del__(self) -> None:
        self.release()


def _take(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    # Each step is atomic, so that runs in other threads can share the deque.
    for _ in range(len(_free)):
        try:
            candidate = _free.popleft()
        except IndexError:
            break
        if candidate.shape == shape and candidate.dtype == dtype:
            return candidate
        _free.append(candidate)
    return torch.empty(prod(shape), dtype=dtype).view(shape)
