"""What a journal says of its run is read without the figures, which are most of it."""

from pathlib import Path

import numpy as np
import pytest

from rnnexp.errors import DamagedError
from rnnexp.files import JOURNAL, RUN
from rnnexp.tracking import RunHeader, RunLog, head_of, load_run
from rnnexp.tracking import journal as journals
from rnnexp.tracking.files import write_json

MANY = 20_000
"""Records of more than a megabyte: a journal is read in several pieces."""


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run that has set a tag after many figures."""
    log = RunLog(tmp_path, RunHeader("name", "e", {"lr": "1"}, {"host": "h"}), "u", None)
    for step in range(MANY):
        log.metrics({"loss": 1.0}, step)
        log.profile({"layer0": [1.0]}, step)
    log.tags({"late": "x"})
    log.end("FAILED", "why")
    return tmp_path


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of the records that are parsed from here on."""
    kinds: list[str] = []
    parse = journals._record_of

    def counting(line: bytes, path: Path, offset: int) -> journals.Record:
        record = parse(line, path, offset)
        kinds.append(record["kind"])
        return record

    monkeypatch.setattr(journals, "_record_of", counting)
    return kinds


def test_the_head_of_a_record_takes_no_figure(run_folder: Path, parsed: list[str]) -> None:
    head = head_of(run_folder)
    assert parsed == ["start", "tags", "end"]
    assert (head.metrics, head.profiles) == ({}, {})
    whole = load_run(run_folder)
    assert len(whole.metrics["loss"]) == len(whole.profiles["layer0"]) == MANY
    whole.metrics, whole.profiles = {}, {}
    assert head == whole


def test_the_same_head_is_read_once(run_folder: Path, parsed: list[str]) -> None:
    for _ in range(3):
        assert head_of(run_folder).tags == {"host": "h", "late": "x"}
    assert len(parsed) == 3
    write_json(run_folder / RUN, {"run_id": "id"})
    assert head_of(run_folder).run_id == "id"
    assert len(parsed) == 3
    RunLog(run_folder, RunHeader("next", "e", {}, {}), "u", None).end("FINISHED")
    assert (head_of(run_folder).name, head_of(run_folder).tags) == ("next", {})


def test_a_record_that_cannot_be_gone_on_with_is_left_as_it_is(run_folder: Path) -> None:
    content = (run_folder / JOURNAL).read_bytes().replace(b'"loss"', b'"loss', 1) + b'{"kind"'
    (run_folder / JOURNAL).write_bytes(content)
    with pytest.raises(DamagedError):
        RunLog(run_folder, RunHeader("name", "e", {}, {}, continues=True), "u", None)
    assert (run_folder / JOURNAL).read_bytes() == content


def test_norms_over_time_are_float32_in_few_bytes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    norms_T = np.exp(random.normal(-20.0, 20.0, 5_000)).astype(np.float32)
    norms_T[:4] = 0.0, np.inf, np.finfo(np.float32).max, np.finfo(np.float32).smallest_subnormal
    log = RunLog(tmp_path, RunHeader("name", "e", {}, {}), "u", None)
    log.flush()
    before = (tmp_path / JOURNAL).stat().st_size
    log.profile({"layer0": norms_T.tolist()}, 1)
    log.flush()
    assert (tmp_path / JOURNAL).stat().st_size - before < 16 * len(norms_T) + 100
    log.end("FINISHED")
    ((_, read_T),) = load_run(tmp_path).profiles["layer0"]
    assert (np.asarray(read_T).astype(np.float32) == norms_T).all()
    assert read_T.itemsize == 8, "and no object for each"
