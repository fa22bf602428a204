"""Where nobody reads what is printed a command ends quietly; where it has no room, in words."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

COMMAND = """
import sys
from rnnexp.__main__ import COMMANDS, main
sys.path.insert(0, ".")
COMMANDS["speak"] = "speaks"
sys.argv = ["rnnexp", "speak"]
main()
"""
LINES = "def main(*_):\n    for _ in range(2000): print('x' * 50)\n    return 0\n"
SPEAKS = {
    "printed": LINES,
    "printed at the end": LINES.replace("2000", "2"),
    "printed by rich": f"from rich import print\n{LINES}",
    "a help": "import argparse\ndef main(*_): argparse.ArgumentParser().parse_args(['-h'])\n",
}


def _unread(folder: Path, *words: str, buffered: bool) -> tuple[int, str]:
    reading, writing = os.pipe()
    os.close(reading)
    own = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "" if buffered else "1"}
    try:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env={**os.environ, **own},
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    finally:
        os.close(writing)
    return done.returncode, done.stderr


@pytest.mark.parametrize("buffered", [True, False], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("how", [how for how in SPEAKS if how.startswith("printed")])
def test_a_command_that_nobody_reads_ends_quietly(how: str, buffered: bool, tmp_path: Path) -> None:
    (tmp_path / "speaks.py").write_text(SPEAKS[how], encoding="utf-8")
    assert _unread(tmp_path, "-c", COMMAND, buffered=buffered) == (141, "")


@pytest.mark.parametrize("buffered", [True, False], ids=["buffered", "unbuffered"])
def test_help_that_nobody_reads_ends_quietly(buffered: bool, tmp_path: Path) -> None:
    assert _unread(tmp_path, "-m", "rnnexp", "--help", buffered=buffered) == (141, "")


def test_help_of_a_command_that_nobody_reads_ends_quietly(tmp_path: Path) -> None:
    (tmp_path / "speaks.py").write_text(SPEAKS["a help"], encoding="utf-8")
    assert _unread(tmp_path, "-c", COMMAND, buffered=True) == (141, "")


def test_a_broken_pipe_of_another_kind_is_told(python: Callable[..., Any], tmp_path: Path) -> None:
    text = "def main(*_):\n    raise BrokenPipeError('of a worker')\n"
    (tmp_path / "speaks.py").write_text(text, encoding="utf-8")
    done = python("-c", COMMAND, cwd=tmp_path)
    assert done.code == 1
    assert "BrokenPipeError: of a worker" in done.err


FAILS = "def main(*_):\n    print('so far')\n    raise OSError(28, 'No space')\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("how", [how for how in SPEAKS if how.startswith("printed")])
def test_what_cannot_be_printed_is_no_full_disk(how: str, unbuffered: str, tmp_path: Path) -> None:
    (tmp_path / "speaks.py").write_text(SPEAKS[how], encoding="utf-8")
    own = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", COMMAND],
            cwd=tmp_path,
            env={**os.environ, **own},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    wanted = "rnnexp: what it prints cannot be written: No space left on device. What else it did"
    assert done.returncode == 1
    assert done.stderr == f"{wanted} stands; send it to another place.\n"


def test_a_full_disk_is_told_where_what_is_printed_is_read(
    python: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "speaks.py").write_text(FAILS, encoding="utf-8")
    done = python("-c", COMMAND, cwd=tmp_path)
    assert (done.code, done.out.strip()) == (2, "so far")
    assert done.err == "rnnexp: No space. Free some space, and give the same command again.\n"
