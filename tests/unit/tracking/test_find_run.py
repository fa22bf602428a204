"""A run is found by its id, or by as much of it as tables print."""

import os
from pathlib import Path

import pytest

from rnnexp.errors import ConfigError
from rnnexp.files import CURSOR, JOURNAL, RUN
from rnnexp.tracking import Comparison, RunHeader, RunLog, find_run
from rnnexp.tracking.files import write_json

FIRST, SECOND = "8424e8e9" + "0" * 24, "84248e89" + "0" * 24


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    for age, (name, run_id) in enumerate({"a": FIRST, "b": SECOND, "a_again": FIRST}.items()):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / RUN, {"run_id": run_id, "key": name})
        os.utime(tmp_path / name / RUN, (9e8 + age, 9e8 + age))
    (tmp_path / "unnamed").mkdir()
    write_json(tmp_path / "unnamed" / RUN, {"key": "no id yet"})
    return tmp_path


@pytest.mark.parametrize(
    ("text", "folder"),
    [(FIRST, "a_again"), (FIRST[:8], "a_again"), (SECOND[:5], "b"), (SECOND, "b")],
)
def test_a_run_is_found(outputs: Path, text: str, folder: str) -> None:
    assert find_run(text, outputs) == outputs / folder


def test_the_latest_is_the_one_written_to_last(tmp_path: Path) -> None:
    assert find_run("latest", tmp_path) is None
    jobs = Comparison((), "val/loss", True)
    headers = {"a": None, "b": None, "a_sweep": jobs}
    for age, (name, compared) in enumerate(headers.items()):
        header = RunHeader(name, "e", {}, {}, compared=compared)
        RunLog(tmp_path / name, header, "u", None).end("FINISHED")
        os.utime(tmp_path / name / JOURNAL, (9e8 + age, 9e8 + age))
    assert find_run("latest", tmp_path) == tmp_path / "b", "a sweep is no run"
    os.utime(tmp_path / "a" / JOURNAL, (9e8 + 9, 9e8 + 9))
    assert find_run("latest", tmp_path) == tmp_path / "a"


@pytest.mark.parametrize("text", ["", "842", "None", "0000", FIRST + "0", "8424e8e91"])
def test_what_begins_no_id_finds_nothing(outputs: Path, text: str) -> None:
    assert find_run(text, outputs) is None


def test_several_runs_are_named(outputs: Path) -> None:
    with pytest.raises(ConfigError, match=f"begin with 8424: {SECOND}, {FIRST}"):
        find_run("8424", outputs)


@pytest.mark.parametrize("content", [b"", b"null", b"{}"])
def test_a_run_whose_file_is_damaged_is_found_by_the_cursor(outputs: Path, content: bytes) -> None:
    (outputs / "b" / RUN).write_bytes(content)
    assert find_run(SECOND, outputs) is None
    write_json(outputs / "b" / CURSOR, {"offset": 9, "run_id": SECOND})
    assert find_run(SECOND, outputs) == outputs / "b"
