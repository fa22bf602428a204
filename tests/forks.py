"""Commands in copies of one process that has imported the large libraries and plugins already.

An import of torch and Lightning takes longer than most of what the tests ask a command to do, and
the schemas of all plugins as long as to refuse a word. Each command still is a process of its own,
with its own words, folder, environment and streams, and begins where the interpreter would: at the
main module.
"""

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_SERVER = Path(__file__).with_name("fork_server.py")
_ROOM_FOR_WORDS = " " * 4000
"""The words of a copy stand, in /proc, where those of the copied process stood."""


class Forks:
    """A process to be copied.

    Args:
        environment: in which it imports; a copy may have another.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._turn = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(_SERVER), str(theirs.fileno()), _ROOM_FOR_WORDS],
                env=environment,
                pass_fds=[theirs.fileno()],
            )

    def __enter__(self) -> "Forks":
        return self

    def __exit__(self, *error: object) -> None:
        self._line.close()
        self._process.wait(timeout=10)

    def run(
        self, *words: str, cwd: Path, env: Mapping[str, str], timeout: float
    ) -> tuple[int, str, str]:
        """Run ``python WORDS``.

        Args:
            words: ``-m MODULE``, ``-c CODE`` or a file, and its arguments.
            cwd: its working folder.
            env: its environment, all of it.
            timeout: seconds.

        Returns:
            Its exit code, negative where a signal has ended it; what it wrote on its two streams.

        Raises:
            subprocess.TimeoutExpired: it took longer, and was killed.
        """
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            streams = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err}
            code = self.start(words, cwd=cwd, env=env, **streams).end_in(timeout)
            return code, _content(out), _content(err)

    def start(self, words: Sequence[str], **options: Any) -> "Copy":
        """Start ``python WORDS`` and go on; the options are those of ``subprocess.Popen``."""
        return Copy(self, words, text=True, **options)

    def ask(self, order: Mapping[str, Any], streams: Sequence[int] = ()) -> int:
        """Give the process an order and some open files."""
        with self._turn:
            socket.send_fds(self._line, [json.dumps(order).encode()], streams)
            answer = self._line.recv(100)
        assert answer, "the process that is copied has ended"
        return int(json.loads(answer))


class Copy(subprocess.Popen[str]):
    """A copy at work. It is no child of this process: its parent is asked how it has ended.

    Three methods that `subprocess` keeps to itself do the rest; Python 3.11 to 3.14 have the same.
    """

    def __init__(self, forks: Forks, words: Sequence[str], **options: Any) -> None:
        self._forks = forks
        self._session = bool(options.get("start_new_session"))
        super().__init__(list(words), **options)

    def end_in(self, timeout: float) -> int:
        """Wait for its end; kill it where that does not come in so many seconds."""
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            self.wait()
            raise

    def _execute_child(self, *given: Any) -> None:
        words, cwd, env = given[0], given[5], given[6]
        stdin, to_stdin, from_stdout, stdout, from_stderr, stderr = given[10:16]
        order = {"words": words, "cwd": str(cwd), "env": dict(env), "session": self._session}
        kept = [own if there == -1 else there for own, there in enumerate((stdin, stdout, stderr))]
        self.pid = self._forks.ask(order, kept)
        self._end = os.pidfd_open(self.pid)
        self._child_created = True
        for mine, theirs in ((to_stdin, stdin), (from_stdout, stdout), (from_stderr, stderr)):
            if mine != -1:
                os.close(theirs)
        if hasattr(self, "_devnull"):
            os.close(self._devnull)

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        return self._code_in(0)

    def _wait(self, timeout: float | None) -> int:
        code = self._code_in(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _code_in(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._end], [], [], timeout)[0]:
            self.returncode = self._forks.ask({"ended": self.pid})
            os.close(self._end)
        return self.returncode


def _content(file: Any) -> str:
    file.seek(0)
    return file.read()
