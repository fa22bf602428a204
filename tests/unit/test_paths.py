import pytest

from rnnexp import paths
from rnnexp.errors import RnnexpError


def test_shipped_folders_exist() -> None:
    assert (paths.conf_dir() / "train.yaml").is_file()
    assert (paths.plugins_dir() / "cells" / "lstm.py").is_file()


def test_folder_in_the_package_comes_first(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    for root in ("wheel", "checkout"):
        (tmp_path / root / "conf").mkdir(parents=True)
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "wheel")
    monkeypatch.setattr(paths, "_CHECKOUT", tmp_path / "checkout")
    assert paths.conf_dir() == tmp_path / "wheel" / "conf"


def test_missing_folder_is_said(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path)
    monkeypatch.setattr(paths, "_CHECKOUT", tmp_path)
    with pytest.raises(RnnexpError, match="'plugins' is missing from this installation"):
        paths.plugins_dir()
