"""Waiting for what another process does."""

import time
from collections.abc import Callable


def comes_true(condition: Callable[[], object], seconds: float = 60.0) -> bool:
    """Ask again and again; False where the answer is still no after so long."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
