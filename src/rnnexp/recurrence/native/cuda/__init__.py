"""Compiled time loops for any `PointwiseCell` on NVIDIA GPUs, generated from its `update`."""

from rnnexp.recurrence.native.cuda.plan import is_in_one_start
from rnnexp.recurrence.native.cuda.run import reason_against, run_on_gpu

__all__ = ["is_in_one_start", "reason_against", "run_on_gpu"]
