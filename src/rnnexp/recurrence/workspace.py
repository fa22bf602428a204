"""Large buffers on the CPU that are used again at the next training step.

A fresh buffer of megabytes costs more than what is computed in it: the system hands out each of
its pages at the first touch. CUDA keeps its own memory and needs no help.
"""

import sys
from collections.abc import Sequence
from math import prod
from threading import local

import torch
from torch import Tensor, UntypedStorage

# Smaller ones cost next to nothing; what the system keeps of larger ones changes from run to run.
_LARGE = 1 << 17
# Buffers kept at most: enough for the layers of a network, few enough to forget old shapes.
_KEPT = 32
_MOST_BYTES = 512 << 20
"""What a thread may keep in all, of whatever backend."""


_Kept = tuple[torch.dtype, int, Tensor]
"""A buffer, behind its type and its size."""


class _Shelf(local):
    """The buffers of a thread, longest unused first."""

    def __init__(self) -> None:
        self.buffers: list[_Kept] = []


_SHELF = _Shelf()


def buffer(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Make an uninitialised tensor, from memory that nobody holds any more where there is some.

    Args:
        like: gives device and type.
        shape: of the new tensor.
    """
    size, dtype = prod(shape), like.dtype
    if not like.is_cpu or size * dtype.itemsize < _LARGE:
        return like.new_empty(shape)
    buffers = _SHELF.buffers
    for i, kept in enumerate(buffers):
        if kept[1] == size and kept[0] is dtype and _is_free(kept[2]):
            buffers.append(buffers.pop(i))
            return kept[2].view(shape)
    # Made in inference mode it could never be written outside of it.
    with torch.inference_mode(False):
        fresh = like.new_empty(size)
    _keep((dtype, size, fresh))
    return fresh.view(shape)


def copy_of(numbers: Tensor) -> Tensor:
    """Copy a tensor into such memory."""
    return buffer(numbers, numbers.shape).copy_(numbers)


def after_first(h_TBH: Tensor) -> Tensor:
    """Give h_1..h_T, the outputs, shape (T, B, H), in the memory in which h_0 lies before them.

    A Function that returns them has to save them, too: autograd sees by what it has saved whether
    somebody has changed it.
    """
    # The same memory, yet no view: of a view that a Function returns, autograd forbids changes.
    shape = (h_TBH.shape[0] - 1, *h_TBH.shape[1:])
    empty = h_TBH.new_empty(0)
    return empty.set_(h_TBH.untyped_storage(), h_TBH.stride(0), shape, h_TBH.stride())


def _keep(fresh: _Kept) -> None:
    kept = [*_SHELF.buffers[-_KEPT + 1 :], fresh]
    spare = sum(tensor.nbytes for *_, tensor in kept) - _MOST_BYTES
    while spare > 0:  # what is forgotten lives on with whoever holds it
        spare -= kept.pop(0)[2].nbytes
    _SHELF.buffers = kept


def _is_free(kept: Tensor) -> bool:
    storage = kept.untyped_storage()
    # Another process may hold it too, or somebody may have changed its size.
    return _users(storage) == _ALONE and not storage.is_shared() and storage.nbytes() == kept.nbytes


def _users(storage: UntypedStorage) -> tuple[int, int]:
    # Whoever holds a view, be it a saved tensor of autograd's, holds the storage; who holds the
    # storage itself holds the one object that stands for it.
    held = torch._C._storage_Use_Count(storage._cdata)  # pyright: ignore[reportPrivateUsage]
    return held, sys.getrefcount(storage)


def _found_alone() -> tuple[int, int]:
    tensor = torch.empty(1, device="cpu")
    storage = tensor.untyped_storage()
    return _users(storage)


_ALONE = _found_alone()
"""Of a tensor that nobody else holds."""
