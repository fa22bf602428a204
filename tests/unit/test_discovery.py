import os
import sys
from pathlib import Path

import pytest

from rnnexp.discovery import ENVIRONMENT, load_file, load_plugins, module_name, plugin_files
from rnnexp.errors import PluginError, UnknownNameError
from rnnexp.registry import Registry

CELL = """
from rnnexp.cells import PointwiseCell, register_cell

@register_cell("{name}")
class {cls}(PointwiseCell):
    "A cell."
"""

COUNT = """
with open({!r}, "a") as file:
    file.write("x")
"""


def _cell(folder: Path, name: str, file: str | None = None, cls: str = "C", tail: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (file or f"{name}.py")
    path.write_text(CELL.format(name=name, cls=cls) + tail, encoding="utf-8")
    return path


def test_shipped_plugins_load(plugins: Registry) -> None:
    assert {"elman", "lstm", "gru", "leaky", "jordan"} <= set(plugins.names("cell"))
    assert "adding" in plugins.names("task")


def test_folders_come_from_environment_and_argument(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        _cell(tmp_path / f"p{number}" / "cells", f"found{number}")
    _cell(tmp_path / "p3", "at_top")
    monkeypatch.setenv(ENVIRONMENT, f"{tmp_path / 'p1'}{os.pathsep}{tmp_path / 'p2'}")
    assert load_plugins([str(tmp_path / "p3")]) == []
    assert {"found1", "found2", "found3", "at_top"} <= set(registry.names("cell"))


def test_missing_folder_is_named(registry: Registry) -> None:
    with pytest.raises(PluginError, match=r"'/no/such' does not exist.*plugin_dirs"):
        load_plugins(["/no/such"])


def test_working_folder_is_not_searched(registry: Registry, workdir: Path) -> None:
    _cell(workdir / "plugins" / "cells", "lurking")
    _cell(workdir / "cells", "lurking2")
    load_plugins()
    assert not {"lurking", "lurking2"} & set(registry.names("cell"))


def test_underscored_and_other_files_are_left_alone(tmp_path: Path) -> None:
    for name in ("b.py", "a.py", "_private.py", "notes.txt"):
        (tmp_path / name).touch()
    assert [file.name for file in plugin_files(tmp_path)] == ["a.py", "b.py"]


@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_broken_file_is_reported_with_its_line_and_the_others_load(
    registry: Registry, workdir: Path, relative: bool
) -> None:
    _cell(workdir / "p", "good1", "a.py")
    (workdir / "p" / "bad.py").write_text("x = 1\n\nprint(undefined)\n", encoding="utf-8")
    (workdir / "p" / "torn.py").write_text("def f(:\n", encoding="utf-8")
    _cell(workdir / "p", "good2", "z.py")
    failures = load_plugins(["p" if relative else str(workdir / "p")])
    bad, torn = failures
    assert (Path(bad.file).name, bad.line) == ("bad.py", 3)
    assert "undefined" in bad.error
    assert (Path(torn.file).name, torn.line) == ("torn.py", 1)
    assert torn.error.startswith("SyntaxError")
    assert {"good1", "good2"} <= set(registry.names("cell"))


def test_syntax_error_of_an_imported_file_keeps_the_plugins_own_line(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "broken_helper.py").write_text("\n\n\n\ndef (\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    (tmp_path / "user.py").write_text("import sys\nimport broken_helper\n", encoding="utf-8")
    load_file(tmp_path / "user.py")
    assert registry.failures[0].line == 2


def test_exit_at_import_is_a_failure(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "quits.py").write_text("import sys\nsys.exit(0)\n", encoding="utf-8")
    failures = load_plugins([str(tmp_path)])
    assert [(Path(f.file).name, f.line) for f in failures] == [("quits.py", 2)]
    with pytest.raises(PluginError, match=r"quits.py:2: SystemExit: 0"):
        registry.get("cell", "quits")


def test_keyboard_interrupt_of_a_file_is_a_failure(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "stops.py").write_text("x = 1\nraise KeyboardInterrupt\n", encoding="utf-8")
    (failure,) = load_plugins([str(tmp_path)])
    assert str(failure).endswith("stops.py:2: KeyboardInterrupt")


def test_ctrl_c_at_import_ends_the_program_and_names_the_file(
    registry: Registry, tmp_path: Path, ctrl_c: None
) -> None:
    file = tmp_path / "slow.py"
    text = "import signal\nsignal.raise_signal(signal.SIGINT)\n"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(KeyboardInterrupt, match=f"stopped at the import of {file}"):
        load_file(file)
    assert registry.failures == []
    assert module_name(file) not in sys.modules


@pytest.mark.parametrize("place", ["", "cells"])
@pytest.mark.parametrize("line", ["from _own import K", "from ._own import K", "import shared.k"])
def test_import_of_a_neighbour_says_what_to_do(
    registry: Registry, tmp_path: Path, place: str, line: str
) -> None:
    (tmp_path / "_own.py").write_text("K = 1\n", encoding="utf-8")
    (tmp_path / "shared").mkdir()
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "needs.py").write_text(f"{line}\n", encoding="utf-8")
    (failure,) = load_plugins([str(tmp_path)])
    assert failure.line == 1
    assert "A plugin is one file and cannot import its neighbours: put what it" in failure.error


def test_import_of_a_missing_package_is_told_as_it_is(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "needs.py").write_text("import not_there\n", encoding="utf-8")
    (failure,) = load_plugins([str(tmp_path)])
    assert failure.error == "ModuleNotFoundError: No module named 'not_there'"


def test_failed_file_leaves_no_half_loaded_class(registry: Registry, tmp_path: Path) -> None:
    file = _cell(tmp_path, "half", tail="\nraise RuntimeError('later')\n")
    load_file(file)
    assert len(registry.failures) == 1
    assert "half" not in registry.names("cell")
    assert module_name(file) not in sys.modules


def test_failure_is_reported_once(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("1/0\n", encoding="utf-8")
    load_plugins([str(tmp_path)])
    assert len(load_plugins([str(tmp_path)])) == 1


def test_name_in_two_files_is_refused(registry: Registry, tmp_path: Path) -> None:
    first = _cell(tmp_path, "twice", "a.py")
    second = _cell(tmp_path, "twice", "b.py")
    (failure,) = load_plugins([str(tmp_path)])
    assert failure.file == str(second)
    assert "registered twice" in failure.error
    assert str(first) in failure.error
    with pytest.raises(
        PluginError, match=r"^The cell 'twice' is registered twice: by C in .*a\.py"
    ):
        registry.get("cell", "twice")
    registry.settle("cell", "twice")
    load_plugins([str(tmp_path)])
    assert registry.get("cell", "twice").file == first


def test_loaded_file_is_left_alone(registry: Registry, tmp_path: Path) -> None:
    file = _cell(tmp_path, "once", tail=COUNT.format(str(tmp_path / "count")))
    for _ in range(3):
        load_plugins([str(tmp_path)])
    assert (tmp_path / "count").read_text() == "x"
    assert registry.get("cell", "once").file == file


def test_an_edit_within_a_second_is_seen(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for name in ("one", "two"):
        file = _cell(tmp_path, name, file="mine.py")
        os.utime(file, (1e9, 1e9))
        load_file(file)
        del sys.modules[module_name(file)]
    assert {"one", "two"} <= {name for _, name in registry.entries}
    assert list(tmp_path.iterdir()) == [file], "no __pycache__"


def test_files_of_one_name_get_modules_of_their_own(tmp_path: Path) -> None:
    one, two = _cell(tmp_path / "p", "n1", "n.py"), _cell(tmp_path / "q", "n2", "n.py")
    assert module_name(one) != module_name(two)
    assert module_name(one) == module_name(tmp_path / "q" / ".." / "p" / "n.py")


def _distribution(root: Path, module: str, text: str) -> None:
    info = root / f"{module}_dist-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}-dist\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[rnnexp.plugins]\nmine = {module}\n")
    (root / f"{module}.py").write_text(text, encoding="utf-8")


def test_installed_package_is_found_by_its_entry_point(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _distribution(tmp_path, "packaged_cell", CELL.format(name="packaged", cls="P"))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_plugins() == []
    assert registry.get("cell", "packaged").file == tmp_path / "packaged_cell.py"


def test_broken_entry_point_is_a_failure(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _distribution(tmp_path, "broken_package", "raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (failure,) = load_plugins()
    assert failure.file == "entry point mine = broken_package"
    assert failure.error == "SystemExit: 3"
    with pytest.raises(UnknownNameError):
        registry.get("cell", "broken_package")
