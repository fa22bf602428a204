import json
import os
import signal
import threading
import time
import tracemalloc
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnexp.files import JOURNAL
from rnnexp.tracking.files import claimed
from rnnexp.tracking.journal import (
    JournalWriter,
    append_line,
    cut_torn_tail,
    forget_after,
    read_all,
    read_from,
)

from ...waiting import comes_true


def _write(folder: Path, count: int) -> Path:
    writer = JournalWriter(folder)
    for i in range(count):
        writer.append({"kind": "metrics", "i": i})
    writer.close()
    return writer.path


def _numbers(path: Path) -> list[int]:
    return [record["i"] for record in read_all(path)]


def test_records_come_back_in_order(tmp_path: Path) -> None:
    path = _write(tmp_path / "new" / "folder", 100)
    assert path == tmp_path / "new" / "folder" / JOURNAL
    assert _numbers(path) == list(range(100))


def test_thread_writes_within_a_second(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path)
    writer.append({"i": 0})
    until = time.monotonic() + 5
    while not writer.path.stat().st_size and time.monotonic() < until:
        time.sleep(0.05)
    assert _numbers(writer.path) == [0]
    writer.close()


def test_close_twice_is_harmless(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path)
    writer.append({"i": 0})
    writer.close()
    writer.close()
    assert _numbers(writer.path) == [0]


def test_reopened_journal_goes_on(tmp_path: Path) -> None:
    _write(tmp_path, 2)
    assert _numbers(_write(tmp_path, 2)) == [0, 1, 0, 1]


@pytest.mark.parametrize("tail", [b'{"i": 5', b"{", b'{"i": 5}'])
def test_torn_tail_is_cut_when_opened(tmp_path: Path, tail: bytes) -> None:
    path = _write(tmp_path, 3)
    with path.open("ab") as file:
        file.write(tail)
    assert _numbers(path) == [0, 1, 2]  # a reader stops before it
    _write(tmp_path, 1)
    assert _numbers(path) == [0, 1, 2, 0]


def test_whole_journal_is_left_as_it_is(tmp_path: Path) -> None:
    path = _write(tmp_path, 3)
    before = path.read_bytes()
    cut_torn_tail(path)
    cut_torn_tail(tmp_path / "none")
    assert path.read_bytes() == before


@given(st.binary(max_size=40))
def test_cut_leaves_whole_lines_only(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    path = tmp_path_factory.mktemp("cut") / JOURNAL
    path.write_bytes(text)
    cut_torn_tail(path)
    assert path.read_bytes() == text[: text.rfind(b"\n") + 1]


def test_concurrent_appends_lose_nothing(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path)
    stop = threading.Event()

    def flush() -> None:
        while not stop.is_set():
            writer.flush()

    def append(worker: int) -> None:
        for i in range(2000):
            writer.append({"i": worker * 10_000 + i})

    flusher = threading.Thread(target=flush)
    workers = [threading.Thread(target=append, args=(n,)) for n in range(3)]
    for thread in (flusher, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    flusher.join()
    writer.close()
    numbers = _numbers(writer.path)
    for worker in range(3):
        own = [n for n in numbers if n // 10_000 == worker]
        assert own == [worker * 10_000 + i for i in range(2000)]


def test_what_json_cannot_hold_is_refused_at_once(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path)
    with pytest.raises(TypeError, match="not JSON serializable"):
        writer.append({"i": object()})
    writer.append({"i": 1})
    writer.close()
    assert _numbers(writer.path) == [1]


def test_figures_that_json_cannot_hold_take_no_others_along(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turned = threading.Event()
    writer = JournalWriter(tmp_path, turn=turned.set)
    for value in (0, object(), 2):
        writer.append_figures({"i": value})
    assert turned.wait(5), "its thread goes on"
    writer.close()
    assert _numbers(writer.path) == [0, 2]
    said = capsys.readouterr().err
    assert f"{writer.path}: a record is left out: Object of type object is not JSON" in said


def test_a_writer_says_what_it_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnnexp.tracking.files._PATIENCE_SECONDS", 0.1)
    path, said = _write(tmp_path, 1), StringIO()
    monkeypatch.setattr("sys.stderr", said)  # to read capsys amid a line would lose it
    with claimed(path) as free:
        assert free
        waiting = threading.Thread(target=_write, args=(tmp_path, 1))
        waiting.start()
        words = f"the record in {tmp_path} is waiting for `rnnexp sync`"
        assert comes_true(lambda: words in said.getvalue())
        assert waiting.is_alive()
    waiting.join(5)
    assert _numbers(path) == [0, 0]


def test_nan_and_infinity_survive(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path)
    writer.append({"values": [float("inf"), float("-inf")]})
    writer.close()
    assert next(read_all(writer.path))["values"] == [float("inf"), float("-inf")]


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory.mktemp("forty"), 40)


@given(limit=st.integers(1, 400))
def test_reading_in_parts_equals_reading_whole(forty: Path, limit: int) -> None:
    found, offset = [], 0
    while True:
        records, offset = read_from(forty, offset, limit)
        if not records:
            break
        sizes = [len(json.dumps(r)) + 1 for r in records]
        assert sum(sizes[:-1]) < limit  # the record that reaches the limit is the last
        found += records
    assert [r["i"] for r in found] == list(range(40))
    assert offset == forty.stat().st_size


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from rnnexp.tracking.journal import JournalWriter, read_all

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
writer = JournalWriter(Path(sys.argv[1]))
writer.append({"i": 0, "pad": "x" * 500})
writer.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
for i in range(1, 50):
    writer.append({"i": i, "pad": "x" * 50})
for _ in range(3):
    writer.flush()
print(type(writer.error).__name__, [r["i"] for r in read_all(writer.path)])
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
if sys.argv[2] == "freed":
    writer.flush()
    print(writer.error, [r["i"] for r in read_all(writer.path)] == list(range(50)))
    writer.append({"i": 50})
    writer.close()
    print(len(list(read_all(writer.path))))
"""


@pytest.mark.parametrize("then", ["freed", "ended"])
def test_full_disk_is_noted_and_tried_again(python, tmp_path: Path, then: str) -> None:
    done = python("-c", FULL_DISK, str(tmp_path / "run"), then, cwd=tmp_path)
    expected = ["OSError [0]"] + (["None True", "51"] if then == "freed" else [])
    assert (done.code, done.out.splitlines()) == (0, expected), done.err


KILLED = """
import sys
from pathlib import Path
from rnnexp.tracking.journal import JournalWriter

writer = JournalWriter(Path(sys.argv[1]))
i = 0
while True:
    writer.append({"i": i})
    i += 1
    if i % 100 == 0:
        writer.flush()
    if i == 500:
        print("ready", flush=True)
"""


def test_kill_leaves_a_readable_journal(start_python, tmp_path: Path) -> None:
    process = start_python("-c", KILLED, str(tmp_path), cwd=tmp_path)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    numbers = _numbers(tmp_path / JOURNAL)
    assert len(numbers) >= 500
    assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("torn", ["", "x" * 10, "x" * 200_000])
def test_of_a_long_file_its_end_is_read(tmp_path: Path, torn: str) -> None:
    file = tmp_path / "cliffs.jsonl"
    with file.open("w") as lines:
        lines.truncate(50_000_000)  # of zeros, which take no room
        lines.seek(0, os.SEEK_END)
        lines.write("\n" + torn)
    tracemalloc.start()
    append_line(file, "{}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000, "bytes"
    assert file.stat().st_size == 50_000_000 + len("\n{}\n")


def test_a_file_of_half_a_line_is_emptied(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text("x" * 200_000)
    cut_torn_tail(tmp_path / JOURNAL)
    assert (tmp_path / JOURNAL).read_bytes() == b""


def test_lines_of_later_steps_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    forget_after(path, 3)
    assert not path.exists()
    for step in (1, 3, 4):
        append_line(path, json.dumps({"step": step, "i": step}))
    before = path.read_bytes()
    forget_after(path, 4)
    assert path.read_bytes() == before
    with path.open("a") as file:
        file.write('{"step": 5')
    forget_after(path, 3)
    assert _numbers(path) == [1, 3]
    assert list(tmp_path.iterdir()) == [path]
