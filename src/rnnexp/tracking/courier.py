"""The delivering process as its owner sees it: started, engaged, told what to deliver."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

LOG_FILE = "sink.log"
_SINK_ERROR = re.compile(r"\d\d:\d\d:\d\d \w+: ")


class Courier:
    """A sink in a process of its own, which loads MLflow's client first.

    That takes seconds: who will have runs starts it before they are known. As a context it ends
    with the block, unless it has been engaged.
    """

    def __init__(self) -> None:
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        environment["PYTHONWARNINGS"] = "ignore"
        environment["PYTHONUTF8"] = "1"  # MLflow reads a folder's name out of a URI as UTF-8
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rnnexp.tracking.sink"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # until it is engaged
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the trainer; the sink ends when it does
        )
        self.log: Path | None = None

    def __enter__(self) -> "Courier":
        return self

    def __exit__(self, *error: object) -> None:
        if self.log is None:
            self.process.kill()
            self.hang_up()
            self.process.wait()

    @property
    def is_free(self) -> bool:
        """Whether it lives and delivers to no store yet."""
        return self.log is None and self.process.poll() is None

    def engage(self, uri: str, log: Path, folders: Iterable[Path]) -> None:
        """Have it deliver to a store.

        Args:
            uri: the store.
            log: the file for its errors.
            folders: the runs to begin with.
        """
        self.log = log
        log.touch()
        if self._say({"uri": uri, "log": str(log.resolve())}):
            self.tell(folders)

    def tell(self, folders: Iterable[Path]) -> bool:
        """Name further runs; False if it is not there any more."""
        return all(self._say({"folder": str(folder.resolve())}) for folder in folders)

    def hang_up(self) -> None:
        """Let it deliver the rest and end."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def wait(self, timeout: float) -> None:
        """Wait so many seconds for its end; after that it goes on alone."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.returncode = 0  # left running on purpose: it ends by itself

    def _say(self, order: dict[str, Any]) -> bool:
        assert self.process.stdin is not None
        try:
            print(json.dumps(order), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            return False
        return True


def say(error: Exception) -> None:
    """Write an error into the log of this process, so that its owner can quote it."""
    print(f"{time.strftime('%H:%M:%S')} {type(error).__name__}: {error}", file=sys.stderr)


def last_problem(log: Path) -> str | None:
    """Read the latest error in the log of a sink, without its time; None if there is none."""
    if not log.is_file():
        return None
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    # An error may go on over several lines: only its first begins with the time.
    found = [line.partition(" ")[2] for line in lines if _SINK_ERROR.match(line)]
    return found[-1].strip() if found else None
