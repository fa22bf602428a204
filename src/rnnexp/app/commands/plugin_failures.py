"""Say which plugin files could not be loaded, once."""

import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from rnnexp.errors import UserError
from rnnexp.registry import Failure


def print_failures(failures: Iterable[Failure], said: str = "") -> None:
    """Print a line for each file that could not be loaded.

    Args:
        failures: which files, and why.
        said: what is printed anyway; a reason that stands in it is not repeated.
    """
    for failure in failures:
        if failure.error not in said:
            print(f"rnnexp: plugin not loaded: {failure}", file=sys.stderr)


@contextmanager
def printed_after(failures: Iterable[Failure]) -> Generator[None]:
    """Print the files that could not be loaded after the block, but for those its error names.

    Args:
        failures: which files, and why.
    """
    said = ""
    try:
        yield
    except UserError as error:
        said = str(error)
        raise
    finally:
        print_failures(failures, said)
