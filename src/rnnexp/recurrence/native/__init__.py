"""Compiled time loops for any `PointwiseCell`, generated from its `update`."""

from rnnexp.recurrence.native.run import reason_against, run_native

__all__ = ["reason_against", "run_native"]
