"""A project's store names the place that its artifacts have, wherever the project was moved."""

import shutil
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from rnnexp.tracking import RunLog, add_artifacts, follow_move, sync
from rnnexp.tracking.mlflow_store import MlflowStore
from rnnexp.tracking.records import start_record

from .study import EXPERIMENT, header_of


def uri_of(project: Path) -> str:
    return f"sqlite:///{project}/mlflow.db"


def root_of(project: Path) -> Path:
    return project / "outputs" / "mlflow"


def run_in(project: Path, key: str, uri: str | None = None) -> str:
    """Put a run with an artifact on record, as a command in the project's folder does."""
    uri, root = uri or uri_of(project), root_of(project)
    assert follow_move(uri, root) == []
    store = MlflowStore(uri)
    run_id = store.open_run(start_record(header_of(), key, uri, root.as_uri(), 1000))
    file = project / "note.txt"
    file.write_text(key)
    store.log_artifact(run_id, file, "")
    return run_id


def text_of(uri: str, run_id: str) -> str:
    return Path(MlflowClient(uri).download_artifacts(run_id, "note.txt")).read_text()


@pytest.fixture
def old(tmp_path: Path, store_uri: str) -> Path:
    """A project with a run; its name has letters that a URI does not show as they are."""
    project = tmp_path / "old one"
    project.mkdir()
    shutil.move(store_uri.removeprefix("sqlite:///"), project / "mlflow.db")
    return project


@pytest.mark.parametrize("is_copied", [False, True])
def test_artifacts_are_where_the_project_is(old: Path, tmp_path: Path, is_copied: bool) -> None:
    first, new = run_in(old, "first"), tmp_path / "new"
    model = MlflowClient(uri_of(old)).create_logged_model("1", source_run_id=first)
    (shutil.copytree if is_copied else shutil.move)(old, new)
    assert follow_move(uri_of(new), root_of(new)) == [root_of(old)]
    second = run_in(new, "second")
    assert [text_of(uri_of(new), run_id) for run_id in (first, second)] == ["first", "second"]
    assert root_of(new) / second in root_of(new).iterdir()
    there = MlflowClient(uri_of(new)).get_logged_model(model.model_id).artifact_location
    assert there.startswith(root_of(new).as_uri())
    if is_copied:
        assert follow_move(uri_of(old), root_of(old)) == []
        assert text_of(uri_of(old), first) == "first"


def test_what_a_copy_has_written_to_the_old_place_is_found_there(old: Path, tmp_path: Path) -> None:
    first, new = run_in(old, "first"), tmp_path / "new"
    shutil.copytree(old, new)
    astray = run_in(old, "astray", uri_of(new))
    follow_move(uri_of(new), root_of(new))
    assert [text_of(uri_of(new), run_id) for run_id in (first, astray)] == ["first", "astray"]


def test_a_project_without_its_artifacts_gets_new_ones(old: Path, tmp_path: Path) -> None:
    run_in(old, "first")
    shutil.rmtree(old / "outputs")
    new = old.rename(tmp_path / "new")
    assert follow_move(uri_of(new), root_of(new)) == [root_of(old)]
    second = run_in(new, "second")
    assert (root_of(new) / second).is_dir()


def test_a_store_that_several_projects_share_is_left_as_it_is(old: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    run_in(other, "first", uri_of(old))  # which makes the experiment
    run_in(old, "second")
    run_in(other, "third", uri_of(old))
    found = MlflowClient(uri_of(old)).get_experiment_by_name(EXPERIMENT)
    assert found is not None
    assert found.artifact_location == root_of(other).as_uri()
    other.rename(tmp_path / "gone")
    assert follow_move(uri_of(old), root_of(tmp_path / "gone")) == [], "it lies in another folder"


@pytest.mark.parametrize("content", [None, b"", b"none"])
def test_what_is_no_store_is_left_to_who_opens_it(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "mlflow.db").write_bytes(content)
    assert follow_move(uri_of(tmp_path), root_of(tmp_path)) == []
    assert follow_move("http://127.0.0.1:1", None) == []


@pytest.mark.parametrize("is_copied", [False, True])
def test_a_record_that_is_delivered_later_takes_its_files_along(
    old: Path, tmp_path: Path, is_copied: bool
) -> None:
    new = tmp_path / "new"
    log = RunLog(old / "outputs" / "run", header_of(), uri_of(new), root_of(old).as_uri())
    for name in ("note.txt", "later.txt"):
        (log.folder / name).write_text(name)
    log.artifact(log.folder / "note.txt")
    log.end("FINISHED")
    (shutil.copytree if is_copied else shutil.move)(old, new)
    run = new / "outputs" / "run"
    assert sync(run, root=root_of(new)) == "delivered"
    add_artifacts(run, [run / "later.txt"], "pictures", root_of(new))
    sent = [file.name for file in root_of(new).rglob("*.txt")]
    assert sorted(sent) == ["later.txt", "note.txt"]
    assert root_of(old).exists() is False
