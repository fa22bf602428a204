"""Compiled time loops for any `PointwiseCell`, generated from its `update`."""

from rnnexp.recurrence.native.run import is_slower_than_vendor, reason_against, run_native

__all__ = ["is_slower_than_vendor", "reason_against", "run_native"]
