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


def test_commit_and_state_are_tags(tmp_path: Path) -> None:
    _git(tmp_path, "init")
    (tmp_path / "a").touch()
    _git(tmp_path, "add", "a")
    _git(tmp_path, "commit", "-m", "first")
    clean = provenance(tmp_path)
    (tmp_path / "b").touch()
    dirty = provenance(tmp_path)
    assert len(clean["git.commit"]) == 40
    assert (clean["git.dirty"], dirty["git.dirty"]) == ("false", "true")


def test_versions_are_tags_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    tags = provenance(tmp_path)
    assert {"host", "version.python", "version.torch", "version.mlflow"} <= tags.keys()
    assert tags["version.rnnexp"] == __version__
    assert "git.commit" not in tags
    assert all(isinstance(value, str) for value in tags.values())
