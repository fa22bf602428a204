"""What becomes of the traceback of a failed run, once it goes on."""

from pathlib import Path

from rnnexp.app.run.resume import Origin
from rnnexp.app.run.traceback_file import TRACEBACK, mark_earlier

TEXT = "Traceback: it broke"


def test_one_of_an_earlier_attempt_says_so_once(tmp_path: Path) -> None:
    (tmp_path / TRACEBACK).write_text(TEXT)
    for _ in range(2):
        mark_earlier(tmp_path, Origin(None, folder=tmp_path))
        marked = (tmp_path / TRACEBACK).read_text()
        assert marked == f"{marked.splitlines()[0]}\n\n{TEXT}"
        assert marked.startswith("An earlier attempt at this run failed")


def test_a_run_that_goes_on_elsewhere_takes_it_along(tmp_path: Path) -> None:
    before, now = tmp_path / "before", tmp_path / "now"
    before.mkdir()
    now.mkdir()
    mark_earlier(now, Origin(None, folder=before))
    assert not (now / TRACEBACK).exists()
    (before / TRACEBACK).write_text(TEXT)
    mark_earlier(now, Origin(None, folder=before))
    assert (now / TRACEBACK).read_text().endswith(f"has gone on since.\n\n{TEXT}")
    assert (before / TRACEBACK).read_text() == TEXT


def test_that_of_another_run_is_removed(tmp_path: Path) -> None:
    (tmp_path / TRACEBACK).write_text(TEXT)
    mark_earlier(tmp_path, None)
    assert not (tmp_path / TRACEBACK).exists()
