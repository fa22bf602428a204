"""The lease of a job: one holder, taken over from the dead, fenced by its token."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rnnexp.app.jobs.lease import (
    BEAT_SECONDS,
    FILE,
    LEASE_SECONDS,
    acquire,
    holder_of,
    process_start,
)

from ....waiting import comes_true


def forge(folder: Path, **changes: object) -> None:
    values = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps(values | changes))


def test_one_holds_it_until_it_is_handed_back(tmp_path: Path) -> None:
    lease = acquire(tmp_path)
    assert lease is not None
    assert lease.is_mine()
    assert acquire(tmp_path) is None, "this very process holds it and lives"
    lease.release()
    assert holder_of(tmp_path) is None
    second = acquire(tmp_path)
    assert second is not None
    assert second.token == lease.token + 1
    assert not lease.is_mine()


def test_that_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    code = "from pathlib import Path; from rnnexp.app.jobs.lease import acquire; acquire(Path('.'))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[4] / "src")}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env=environment)
    holder = holder_of(tmp_path)
    assert holder is not None
    assert not holder.alive
    lease = acquire(tmp_path)
    assert lease is not None
    assert lease.token == 2


def test_a_number_that_is_used_again_is_another_process(tmp_path: Path) -> None:
    acquire(tmp_path)
    forge(tmp_path, started=-1.0)
    assert acquire(tmp_path) is not None


def test_on_another_machine_the_beat_decides(tmp_path: Path) -> None:
    acquire(tmp_path)
    forge(tmp_path, host="elsewhere", beat=time.time() - LEASE_SECONDS / 2)
    assert acquire(tmp_path) is None
    forge(tmp_path, beat=time.time() - 2 * LEASE_SECONDS)
    assert acquire(tmp_path) is not None


def test_a_living_process_of_this_machine_is_never_dead_by_the_clock(tmp_path: Path) -> None:
    acquire(tmp_path)
    forge(tmp_path, beat=0.0)
    assert acquire(tmp_path) is None


def test_who_slept_through_a_takeover_does_not_hand_it_back(tmp_path: Path) -> None:
    sleeper = acquire(tmp_path)
    assert sleeper is not None
    forge(tmp_path, started=-1.0)
    awake = acquire(tmp_path)
    assert awake is not None
    sleeper.release()
    sleeper.beat()
    assert awake.is_mine()


def no_space(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_beat_that_cannot_be_written_is_tried_again_at_the_next_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = acquire(tmp_path)
    assert lease is not None
    forge(tmp_path, beat=0.0)
    lease._beaten -= 2 * BEAT_SECONDS
    with monkeypatch.context() as full:
        full.setattr("rnnexp.app.jobs.lease.write_json", no_space)
        lease.beat()
        assert beat_of(tmp_path) == 0.0
    lease.beat()
    assert beat_of(tmp_path) > 0.0


def test_a_full_disk_ends_neither_the_thread_that_beats_nor_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnnexp.app.jobs.lease.BEAT_SECONDS", 0.0)
    lease = acquire(tmp_path)
    assert lease is not None
    forge(tmp_path, beat=0.0)
    refused: list[object] = []

    def refuse(*arguments: object) -> None:
        refused.append(arguments)
        no_space()

    with lease.beating():
        with monkeypatch.context() as full:
            full.setattr("rnnexp.app.jobs.lease.write_json", refuse)
            assert comes_true(lambda: refused, seconds=10.0)
        assert comes_true(lambda: beat_of(tmp_path) > 0.0, seconds=10.0)
        monkeypatch.setattr("rnnexp.app.jobs.lease.write_json", no_space)
    assert lease.is_mine(), "it could not be handed back, and nothing was raised"


def beat_of(folder: Path) -> float:
    holder = holder_of(folder)
    assert holder is not None
    return holder.beat


def test_the_start_of_a_process_is_its_own() -> None:
    assert process_start(os.getpid()) == process_start(os.getpid())
    # Of a child, not the parent: `timeout pytest` starts both within one tick of the clock.
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert process_start(child.pid) not in (None, process_start(os.getpid()))


def test_what_cannot_be_read_or_was_handed_back_is_not_lost(tmp_path: Path) -> None:
    lease = acquire(tmp_path)
    assert lease is not None
    content = (tmp_path / FILE).read_text()
    for broken in ("", "{}"):
        (tmp_path / FILE).write_text(broken)
        assert not lease.is_lost()
    (tmp_path / FILE).write_text(content)
    lease.release()
    assert acquire(tmp_path) is not None
    assert not lease.is_lost(), "it is not held any more: there is nothing to lose"


REMOVED = """
import shutil, time
from pathlib import Path
from rnnexp.app.jobs.lease import acquire
with acquire(Path("job")).beating():
    shutil.rmtree("job")
    time.sleep(30)
"""


def test_whose_folder_is_removed_ends_in_words(python, tmp_path: Path) -> None:
    done = python("-c", REMOVED, cwd=tmp_path)
    assert done.code == 1
    assert done.err == (
        "rnnexp: job was removed or renamed while this process was at work in it; it ends here\n"
    )
