"""The list of packages that stands in the record of every run."""

from importlib.metadata import distributions
from pathlib import Path

import pytest

from rnnexp.tracking import package_list


def test_it_names_what_is_installed() -> None:
    known = {f"{found.name}=={found.version}" for found in distributions()}
    assert package_list().splitlines() == sorted(known)


def test_a_description_is_not_taken_for_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine-1.5.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.5\n\nName: x\n")
    monkeypatch.syspath_prepend(tmp_path)
    package_list.cache_clear()
    assert "mine==1.5" in package_list().splitlines()
    package_list.cache_clear()
