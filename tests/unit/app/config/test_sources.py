"""Plugins come back as they were when a run used them, or not at all."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rnnexp.app.config.sources import load_as_recorded, write_sources
from rnnexp.discovery import load_file
from rnnexp.errors import PluginError
from rnnexp.registry import Registry

CELL = '''
IMPORT
from rnnexp.cells import PointwiseCell, register_cell

@register_cell("mine")
class Mine(PointwiseCell):
    """A unit.

        h_t = act(W x_t + R h_{t-1} + b)
    """

    num_gates = 1
    version = "VERSION"

    def update(self, wx_BGH, rh_BGH, state):
        return (act((wx_BGH + rh_BGH).squeeze(-2)),)
'''
OF_SHIPPED = '''
from rnnexp.cells import register_cell
from rnnexp.registry import REGISTRY

@register_cell("mine")
class Mine(REGISTRY.get("cell", "lstm").cls):
    """A shipped cell with another name.

        as the LSTM
    """

    version = "VERSION"
'''
CALLBACK = '''
from rnnexp.registry import register_callback
from pytorch_lightning import Callback

@register_callback("NAME")
class Other(Callback):
    """Does nothing."""
'''
Kept = Callable[[str, str], Path]


def values(**changes: Any) -> dict[str, Any]:
    """What of a config says which plugins a run has."""
    plain = {"plugin_dirs": [], "cell": {"name": "mine"}, "task": {"name": "adding"}}
    return {**plain, "callbacks": {}, **changes}


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.fixture
def kept(tmp_path: Path, registry: Registry) -> Kept:
    """A run's folder that keeps the file of a cell, beside another file that is loaded now."""

    def make(then: str, now: str) -> Path:
        folder = tmp_path / "run"
        write_sources(values(cell={"name": "elman"}), folder)
        write(folder / "plugins" / "cells" / "mine.py", then)
        load_file(write(tmp_path / "now" / "mine.py", now))
        assert ("cell", "mine") in registry.entries, registry.failures
        return folder

    return make


def test_another_source_does_not_stand_in_for_one_that_cannot_be_loaded(
    kept: Kept, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = CELL.replace("IMPORT", "from rnnexp_test_absent import act").replace("VERSION", "then")
    now = CELL.replace("IMPORT", "from torch import sin as act").replace("VERSION", "now")
    folder = kept(then, now)
    failures = list(registry.failures)
    with pytest.raises(PluginError, match=r"'mine' cannot be put back .*rnnexp_test_absent"):
        load_as_recorded(folder, values())
    assert registry.get("cell", "mine").cls.version == "now"
    assert registry.failures == failures
    write(tmp_path / "lib" / "rnnexp_test_absent.py", "from torch import tanh as act")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.delitem(sys.modules, "rnnexp_test_absent", raising=False)
    (note,) = load_as_recorded(folder, values())
    assert "cell mine as it was then" in note
    assert registry.get("cell", "mine").cls.version == "then"
    monkeypatch.delitem(sys.modules, "rnnexp_test_absent")


def test_a_cell_made_of_a_shipped_one_comes_back(kept: Kept, registry: Registry) -> None:
    folder = kept(OF_SHIPPED.replace("VERSION", "then"), OF_SHIPPED.replace("VERSION", "now"))
    lstm = registry.get("cell", "lstm")
    assert load_as_recorded(folder, values())
    assert registry.get("cell", "mine").cls.version == "then"
    assert registry.get("cell", "lstm") is lstm


def test_files_of_one_name_from_two_folders_are_both_kept(
    registry: Registry, tmp_path: Path
) -> None:
    for name in ("one", "other"):
        load_file(write(tmp_path / name / "more.py", CALLBACK.replace("NAME", name)))
    used = values(cell={"name": "elman"}, callbacks={"one": {}, "other": {}})
    files = write_sources(used, tmp_path / "run")
    assert {f.name for f in files} == {"elman.py", "adding.py", "more.py", "more_other.py"}
    for name in ("one", "other"):
        del registry.entries["callback", name]
    assert load_as_recorded(tmp_path / "run", used)
    assert registry.get("callback", "one").file.name == "more.py"
    assert registry.get("callback", "other").file.name == "more_other.py"


def test_a_cell_of_a_package_imports_its_neighbour_as_it_did(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lib" / "rnnexp_test_package"
    write(package / "__init__.py", "")
    write(package / "helper.py", "from torch import tanh as act")
    cell = CELL.replace("IMPORT", "from .helper import act")
    file = write(package / "cells.py", cell.replace("VERSION", "now"))
    monkeypatch.syspath_prepend(tmp_path / "lib")
    importlib.import_module("rnnexp_test_package.cells")  # as by an entry point
    write_sources(values(), tmp_path / "run")
    write(tmp_path / "run" / "plugins" / "cells" / file.name, cell.replace("VERSION", "then"))
    assert load_as_recorded(tmp_path / "run", values())
    assert registry.get("cell", "mine").cls.version == "then"
    assert load_as_recorded(tmp_path / "run", values()) == []
    for name in [name for name in sys.modules if name.startswith("rnnexp_test_package")]:
        monkeypatch.delitem(sys.modules, name)
