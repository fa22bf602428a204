"""What the tests take for a process of its own is one."""

import signal
import subprocess
from pathlib import Path

import pytest

from ..waiting import is_alive

SAY = """
import os, signal, sys
print(os.getpid(), os.getsid(0), os.getcwd(), sys.argv[1], os.environ["MINE"], flush=True)
words = open("/proc/self/cmdline").read().rstrip(chr(0)).split(chr(0))
print(words[1], words[-1], sys.stdin.readline(), end="", flush=True)
print("on the other stream", file=sys.stderr)
if sys.argv[1] == "dies":
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(7)
"""


@pytest.mark.parametrize(("word", "code"), [("ends", 7), ("dies", -signal.SIGKILL)])
def test_a_copy_is_a_process_of_its_own(start_copy, tmp_path: Path, word: str, code: int) -> None:
    process = start_copy("-c", SAY, word, cwd=tmp_path, MINE="its-own")
    pid = process.pid
    assert process.stdout.readline() == f"{pid} {pid} {tmp_path} {word} its-own\n"
    assert process.poll() is None
    said, _ = process.communicate("a line\n", timeout=60)
    assert said == f"-c {word} a line\n"
    assert process.returncode == code
    assert not is_alive(pid)
    assert (tmp_path / "stderr.txt").read_text() == "on the other stream\n"


def test_one_that_takes_too_long_is_killed(copied, tmp_path: Path) -> None:
    begin = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(100)"
    with pytest.raises(subprocess.TimeoutExpired):
        copied("-c", begin, cwd=tmp_path, timeout=2)
    assert not is_alive(int((tmp_path / "pid").read_text()))
