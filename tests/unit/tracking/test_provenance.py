import getpass
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnexp import __version__
from rnnexp.tracking import config_hash, provenance

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
CONFIGS = st.dictionaries(st.text(), PLAIN | st.dictionaries(st.text(), PLAIN), max_size=5)


@given(CONFIGS)
def test_hash_knows_no_order(values: dict) -> None:
    turned = dict(reversed(values.items()))
    assert config_hash(values) == config_hash(turned)
    assert len(config_hash(values)) == 16


def test_hash_differs_by_value() -> None:
    assert config_hash({"a": 1}) != config_hash({"a": 2})
    assert config_hash({"a": None}) != config_hash({"a": "None"})


def _git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e@x"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def _checkout(folder: Path) -> Path:
    folder.mkdir()
    _git(folder, "init")
    (folder / "a").touch()
    _git(folder, "add", "a")
    _git(folder, "commit", "-m", "first")
    return folder


def test_commit_and_state_are_tags(tmp_path: Path) -> None:
    clean, changed = _checkout(tmp_path / "clean"), _checkout(tmp_path / "changed")
    (changed / "b").touch()
    assert len(provenance(clean)["git.commit"]) == 40
    assert provenance(clean)["git.dirty"] == "false"
    assert provenance(changed)["git.dirty"] == "true"


def test_what_is_committed_later_is_not_what_runs(tmp_path: Path) -> None:
    folder = _checkout(tmp_path / "x")
    before = provenance(folder)
    (folder / "b").touch()
    assert provenance(folder) == before


def test_versions_are_tags_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    tags = provenance(tmp_path)
    assert {"host", "version.python", "version.torch", "version.mlflow"} <= tags.keys()
    assert tags["version.rnnexp"] == __version__
    assert "git.commit" not in tags
    assert tags["mlflow.user"] == getpass.getuser()
    assert all(isinstance(value, str) for value in tags.values())


@pytest.mark.parametrize("error", [KeyError("uid not found"), OSError("No username")])
def test_a_user_without_a_name_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", refuse)
    tags = provenance(tmp_path)
    assert "mlflow.user" not in tags
    assert "version.python" in tags
