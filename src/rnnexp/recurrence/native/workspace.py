"""Memory of a run between its forward and its backward pass, used again by later runs."""

import sys
from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

_KEPT = 16
_MOST_BYTES = 512 << 20
"""What may be kept in all. Without it the system would hand out every page anew at each step, which
takes as long as a third of the loop."""
_free: deque[Tensor] = deque(maxlen=_KEPT)
"""Pieces that nobody uses; the longest unused falls out when there are too many."""


class Workspace:
    """A piece of memory that belongs to one run until it releases it or is forgotten.

    Args:
        size: how many numbers it holds, which are not set to anything.
        dtype: their type.
        pooled: whether later runs may have the memory; not where others hold its numbers too.
    """

    __slots__ = ("numbers", "pooled")

    def __init__(self, size: int, dtype: torch.dtype, *, pooled: bool = True) -> None:
        self.pooled = pooled
        self.numbers: Tensor | None = _take(size, dtype) if pooled else _fresh(size, dtype)

    @property
    def address(self) -> int:
        """Where it begins."""
        return self.held().data_ptr()

    def held(self) -> Tensor:
        """Give the numbers, shape (size,)."""
        assert self.numbers is not None, "released"
        return self.numbers

    def release(self) -> None:
        """Give the memory back; it may be overwritten from here on."""
        numbers, self.numbers = self.numbers, None
        if numbers is not None and self.pooled:
            _keep(numbers)

    def __del__(self, ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not ending():  # this module's own names may be gone by then
            self.release()


def copy_of(numbers: Tensor) -> Workspace:
    """Make one with the same content."""
    twin = Workspace(numbers.numel(), numbers.dtype)
    twin.held().copy_(numbers)
    return twin


def _keep(numbers: Tensor) -> None:
    _free.append(numbers)
    # Counted once, whatever other threads do meanwhile: they count too.
    spare = sum(piece.nbytes for piece in tuple(_free)) - _MOST_BYTES
    while spare > 0 and (oldest := _oldest()) is not None:
        spare -= oldest.nbytes


def _oldest() -> Tensor | None:
    # Each step is atomic, so that runs in other threads can share the deque.
    try:
        return _free.popleft()
    except IndexError:
        return None


def _take(size: int, dtype: torch.dtype) -> Tensor:
    for _ in range(len(_free)):
        candidate = _oldest()
        if candidate is None:
            break
        if candidate.numel() == size and candidate.dtype == dtype:
            return candidate
        _free.append(candidate)
    return _fresh(size, dtype)


def _fresh(size: int, dtype: torch.dtype) -> Tensor:
    # Made in inference mode it could never be written outside of it.
    with torch.inference_mode(False):
        return torch.empty(size, dtype=dtype)
