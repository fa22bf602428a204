"""What a job prints goes to its own log, also where the process is not its own."""

import os
import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path


def run_logged(work: Callable[[], int], log: Path) -> int:
    """Do a job's work; what it raises is printed, too.

    Args:
        work: returns the exit code.
        log: takes what it prints.

    Returns:
        The exit code; 1 where it raised or left by `sys.exit`.
    """
    with printing_to(log):
        try:
            return work()
        except SystemExit as error:  # a plugin's way out is no success
            print(f"SystemExit: {error}", file=sys.stderr)
        except Exception:
            traceback.print_exc()
        return 1


@contextmanager
def printing_to(log: Path) -> Generator[None]:
    """Append to a file what Python and libraries print during the block."""
    log.parent.mkdir(parents=True, exist_ok=True)
    before = [os.dup(number) for number in (1, 2)]
    with log.open("a", buffering=1, encoding="utf-8") as file:
        try:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
            with redirect_stdout(file), redirect_stderr(file):
                yield
        finally:
            for number, kept in zip((1, 2), before, strict=True):
                os.dup2(kept, number)
                os.close(kept)
