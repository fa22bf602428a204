"""Saying how far a check of many jobs is."""

import sys
import time
from collections.abc import Iterator

SILENT_SECONDS = 5.0
"""How long a check of many jobs says nothing of how far it is."""


def told(jobs: list[list[str]]) -> Iterator[list[str]]:
    """Hand on the overrides of jobs one by one: thousands take a while, and silence is no sign."""
    latest = time.monotonic()
    for done, job in enumerate(jobs):
        if time.monotonic() - latest > SILENT_SECONDS:
            print(f"rnnexp: {done} of {len(jobs)} jobs checked", file=sys.stderr)
            latest = time.monotonic()
        yield job
