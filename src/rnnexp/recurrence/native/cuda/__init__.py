"""Compiled time loops for any `PointwiseCell` on NVIDIA GPUs, generated from its `update`."""

from rnnexp.recurrence.native.cuda.run import reason_against, run_on_gpu

__all__ = ["reason_against", "run_on_gpu"]
