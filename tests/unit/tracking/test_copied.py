"""A run's files on their way to a store: what cannot be copied, and what must not be."""

from pathlib import Path

import pytest

from rnnexp.tracking.forward import Forwarder
from rnnexp.tracking.service import RunLog, delivered

from .test_forward import HEADER, AwayError, MemoryStore, _steps


def test_figures_arrive_where_files_cannot_be_copied(tmp_path: Path) -> None:
    log, store = RunLog(tmp_path, HEADER, "sqlite:///x.db", None), MemoryStore()
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).touch()
        log.artifact(tmp_path / name)
    log.metrics({"loss": 0.5}, 1)
    log.tags({"a": "1"})
    log.end("FINISHED", None)
    # After the run, its points and its tags; the end is the fifth.
    store.failures = dict.fromkeys((4, 6), "before")
    forwarder = Forwarder(tmp_path, store)
    forwarder.drain()
    assert (_steps(store), store.tags, store.artifacts) == ([1], {"a": "1"}, [])
    assert store.ended == ["FINISHED"]
    with pytest.raises(AwayError):
        forwarder.copy_left()
    assert not delivered(tmp_path)
    again = Forwarder(tmp_path, store)
    assert not again.advance()
    again.copy_left()
    assert sorted(store.artifacts) == [("a.txt", ""), ("b.txt", "")]
    assert (_steps(store), store.ended) == ([1], ["FINISHED"])
    assert delivered(tmp_path)


@pytest.mark.parametrize(
    ("path", "folder"),
    [("../secret", ""), ("{above}/secret", ""), ("link", ""), ("own", "../.."), ("own", "/tmp")],
)
def test_of_a_journal_from_elsewhere_no_file_outside_is_copied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str, folder: str
) -> None:
    run, store = tmp_path / "run", MemoryStore()
    (tmp_path / "secret").touch()
    log = RunLog(run, HEADER, "sqlite:///x.db", None)
    (run / "own").touch()
    (run / "link").symlink_to(tmp_path / "secret")
    place = path.format(above=tmp_path)
    log._journal.append({"kind": "artifact", "path": place, "folder": folder})
    log.artifact(run / "own", "kept")
    log.end("FINISHED", None)
    forwarder = Forwarder(run, store)
    forwarder.drain()
    forwarder.copy_left()
    assert store.artifacts == [("own", "kept")]
    assert delivered(run)
    assert "is not copied: it lies outside" in capsys.readouterr().err
