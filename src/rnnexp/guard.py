"""Import what a user wrote so that it changes nothing for the others. Imports no torch itself."""

import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rnnexp.errors import PluginError

_SETTINGS = {
    "default dtype": ("get_default_dtype", "set_default_dtype", "trainer.precision"),
    "default device": ("get_default_device", "set_default_device", "trainer.accelerator"),
    "grad mode": ("is_grad_enabled", "set_grad_enabled", "torch.no_grad() where it is needed"),
    "deterministic mode": (
        "get_deterministic_debug_mode",
        "set_deterministic_debug_mode",
        "trainer.deterministic",
    ),
    "number of threads": ("get_num_threads", "set_num_threads", "threads"),
}
"""What torch has once for the whole process: how it is read and set, and what to use instead."""


class Pressed(KeyboardInterrupt):
    """Ctrl-C while a file was imported; the text says which."""


@contextmanager
def guarded(what: str) -> Generator[None]:
    """Put back what the block changes for the whole process: in torch, and the working folder.

    A KeyboardInterrupt that passes through is the block's own: one of the user is a `Pressed`.

    Args:
        what: is imported in the block.

    Raises:
        PluginError: the block has changed something.
        Pressed: the user wants to end the program.
    """
    before, folder = _settings(), _folder()
    try:
        with _listening(what):
            yield
    finally:
        changes, moved = _put_back(before), _folder()
        if folder is not None and moved != folder:
            os.chdir(folder)
    if changes:
        raise PluginError(f"The file changes torch for all that runs beside it: {changes}.")
    if moved != folder:
        raise PluginError(
            f"The file changes the working folder of all that runs beside it, from {folder} to "
            f"{moved} (os.chdir; use paths from Path(__file__).parent)."
        )


@contextmanager
def _listening(what: str) -> Generator[None]:
    pressed = False
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> object:
        nonlocal pressed
        pressed = True
        return before(number, frame) if callable(before) else None

    # Elsewhere no signal arrives, and without a handler none becomes a KeyboardInterrupt.
    listens = callable(before) and threading.current_thread() is threading.main_thread()
    if listens:
        signal.signal(signal.SIGINT, note)
    try:
        yield
    except KeyboardInterrupt as error:
        if pressed:
            raise Pressed(f"stopped at the import of {what}") from error
        raise
    finally:
        if listens:
            signal.signal(signal.SIGINT, before)


def _folder() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:  # it has been removed, and nothing leads back
        return None


def _settings() -> dict[str, Any]:
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    return {name: getattr(torch, read)() for name, (read, _, _) in _SETTINGS.items()}


def _put_back(before: dict[str, Any]) -> str:
    changes: list[str] = []
    after = _settings() if before else {}
    for name, value in before.items():
        if after[name] == value:
            continue
        _, write, instead = _SETTINGS[name]
        # A default device that is set costs time at every call of torch, even if it is the CPU.
        usual = name == "default device" and value.type == "cpu"
        getattr(sys.modules["torch"], write)(None if usual else value)
        changes.append(f"{name} from {value} to {after[name]} (torch.{write}; use {instead})")
    return ", ".join(changes)
