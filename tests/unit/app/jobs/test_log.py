"""The log of a job: it is not let grow, and nothing of its end is lost."""

import subprocess
import sys
from pathlib import Path

import pytest

from rnnexp.app.jobs import log
from rnnexp.app.jobs.log import LOG, begin_log, cap_log, log_tail

WRITER = """
for i in range(40_000):
    print(f"line {i}", "x" * 500, flush=True)
"""


@pytest.mark.parametrize("at_work", [False, True])
def test_a_long_log_loses_its_middle_and_can_be_written_on(tmp_path: Path, at_work: bool) -> None:
    with (tmp_path / LOG).open("ab", buffering=0) as job:
        job.write(b"first\n" + b"x" * 10_000 + b"\nlatest\n")
        cap_log(tmp_path, limit=1000, at_work=at_work)
        job.write(b"after\n")
    assert log_tail(tmp_path, 2) == "latest\nafter"
    text = (tmp_path / LOG).read_text().replace("\0", "")
    assert text.startswith("first\n")
    assert text.endswith("x\nlatest\nafter\n")
    assert "[9264 bytes are left out here]" in text
    assert len(text) < 1000 + len("\n[9264 bytes are left out here]\n") * at_work
    assert text.count("x") == 500 - len("first\n") + 250 - len("\nlatest\n")


def test_what_is_printed_while_a_log_is_cut_stays_in_its_place(tmp_path: Path) -> None:
    limit = 1 << 20
    with (tmp_path / LOG).open("ab") as out:
        writer = subprocess.Popen([sys.executable, "-c", WRITER], stdout=out)
    rooms: list[int] = []
    while writer.poll() is None:
        cap_log(tmp_path, limit, at_work=True)
        rooms.append((tmp_path / LOG).stat().st_blocks * 512)
    assert writer.returncode == 0
    assert min(rooms[-10:]) < 2 * limit, "the room of the middle is given back meanwhile"
    cap_log(tmp_path, limit)
    assert (tmp_path / LOG).stat().st_size <= limit
    _, _, kept = (tmp_path / LOG).read_text().partition("are left out here]\n")
    numbers = [int(line.split()[1]) for line in kept.splitlines() if line.startswith("line ")]
    assert numbers == list(range(numbers[0], 40_000))
    assert len(numbers) > 400


def test_without_holes_the_end_is_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_punch", lambda *args: False)
    (tmp_path / LOG).write_text("first\n" + "x" * 10_000 + "\nlatest\n")
    cap_log(tmp_path, limit=1000, at_work=True)
    assert (tmp_path / LOG).stat().st_size < 1000
    assert log_tail(tmp_path, 1) == "latest"


def test_a_short_log_stays(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text("short")
    cap_log(tmp_path, limit=5)
    assert (tmp_path / LOG).read_text() == "short"
    cap_log(tmp_path / "none")


def test_the_tail_is_of_the_latest_attempt(tmp_path: Path) -> None:
    begin_log(tmp_path)
    assert not (tmp_path / LOG).exists()
    (tmp_path / LOG).write_text("it began\na-run FAILED: it broke\n")
    begin_log(tmp_path)
    assert log_tail(tmp_path, 5) == ""
    with (tmp_path / LOG).open("a") as job:
        job.write("it broke again\n")
    assert log_tail(tmp_path, 5) == "it broke again"
    assert (tmp_path / LOG).read_text().startswith("it began\n")
