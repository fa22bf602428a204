"""Import the plugins of a sweep in a copy of this process first: one of them may end it."""

import os
import select
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from rnnexp.discovery import load_file, plugin_files, plugin_folders
from rnnexp.errors import PluginError

PATIENCE_SECONDS = 120.0
"""How long the import of one file may take."""


def rehearse(plugin_dirs: Iterable[str]) -> None:
    """Import the plugin files that a user names, in a process that may be lost.

    What they raise is told where they are imported for good. Here is found what no ``except``
    finds: a crash in compiled code, ``os._exit``, a file that never ends.

    Args:
        plugin_dirs: of the command.

    Raises:
        PluginError: a file ends the process, or does not end; says which.
    """
    files = [str(f) for folder in plugin_folders(plugin_dirs) for f in plugin_files(folder)]
    # Nothing has been computed yet: torch's pool of threads, which no copy has, is not begun.
    if not files or sys.platform != "linux" or threading.active_count() > 1:
        return
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _import_all(files, writing)
    os.close(writing)
    at, in_time = _follow(reading, len(files))
    os.close(reading)
    if not in_time:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if at < len(files):
        how = _how(code) if in_time else f"has not ended after {PATIENCE_SECONDS:g} seconds"
        raise PluginError(
            f"The import of the plugin file {files[at]} {how}. Mend the file, or take its folder "
            "out of plugin_dirs."
        )


def _import_all(files: Iterable[str], writing: int) -> NoReturn:
    # A byte before each file, and one at the end.
    silent = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # until the process ends
    sys.stdout = sys.stderr = silent
    for stream in (1, 2):
        os.dup2(silent.fileno(), stream)
    try:
        for file in files:
            os.write(writing, b".")
            load_file(Path(file))
        os.write(writing, b".")
    finally:
        os._exit(0)


def _follow(reading: int, count: int) -> tuple[int, bool]:
    # The file that is being imported, `count` when all are; and whether it took no longer than
    # it may.
    at = -1
    while at < count:
        ready, _, _ = select.select([reading], [], [], PATIENCE_SECONDS)
        news = os.read(reading, count + 1) if ready else b""
        if not news:
            return max(at, 0), bool(ready)
        at += len(news)
    return at, True


def _how(code: int) -> str:
    if code < 0:
        return f"ends the process by {signal.Signals(-code).name}"
    return f"ends the process with code {code}"
