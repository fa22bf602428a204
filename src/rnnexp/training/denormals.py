"""Denormal numbers as zero, in every thread that computes."""

import ctypes
import sys

import torch


def flush_denormals(on: bool) -> None:
    """Treat numbers below the smallest normal one as zero, or stop doing so.

    How a CPU goes about them belongs to each thread. ``torch.set_flush_denormal`` sets that of the
    caller; threads made later inherit it, those of torch's pool that exist already do not, and
    they would compute their share of a tensor another way. Native loops take the caller's way.

    Args:
        on: whether they are zero.
    """
    torch.set_flush_denormal(on)
    if sys.platform != "linux" or torch.get_num_threads() == 1:
        return
    # The entry by which a compiled `omp parallel` reaches the pool that torch itself uses.
    in_parallel = getattr(ctypes.CDLL(None), "GOMP_parallel", None)
    if in_parallel is not None:
        each = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: _set(on))
        in_parallel(each, None, torch.get_num_threads(), 0)


def _set(on: bool) -> None:
    torch.set_flush_denormal(on)
