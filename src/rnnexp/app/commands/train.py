"""``rnnexp train``: what delivers the records gets ready while all else is loaded."""

from contextlib import AbstractContextManager, nullcontext, suppress

from rnnexp.loading import load
from rnnexp.tracking import Courier

_TO_RUN = ("-m", "--multirun")


def main(command: str, arguments: list[str]) -> int:
    """Load what trains, and run it.

    Args:
        command: ``train``.
        arguments: Hydra's flags and overrides.

    Returns:
        The exit code.
    """
    with _ready() if _will_run(arguments) else nullcontext() as courier:
        code: int = load("rnnexp.app.commands.training").train(command, arguments, courier)
        return code


def _ready() -> AbstractContextManager[Courier | None]:
    with suppress(OSError):  # no process may be had now, say: it is tried again once runs begin
        return Courier()
    return nullcontext()


def _will_run(arguments: list[str]) -> bool:
    # --help, --cfg and the like do not; of a flag of Hydra's that does, the courier starts later.
    return all(word in _TO_RUN for word in arguments if word.startswith("-"))
