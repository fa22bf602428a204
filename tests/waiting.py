"""Waiting for what another process does, and looking for processes."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def comes_true(condition: Callable[[], object], seconds: float = 60.0) -> bool:
    """Ask again and again; False where the answer is still no after so long."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def processes_in(folder: Path) -> list[int]:
    """List living processes whose working folder it is, but for this one and the sinks."""
    found: list[int] = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            here = (place / "cwd").readlink() == folder and int(place.name) != os.getpid()
            if here and b"sink" not in (place / "cmdline").read_bytes():
                found.append(int(place.name))
    return found


def is_alive(pid: int) -> bool:
    """Tell whether a process is there, and not only its entry that nobody has asked for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"
