"""A plugin file that lies nearby is named where its plugin is missed, and is not run."""

from pathlib import Path

import pytest

from rnnexp.app.config.nearby import folder_with, not_loaded

FILE = """from rnnexp.cells import Cell, register_cell

raise SystemExit("it was run")

@register_cell("mine")
class Mine(Cell):
    pass
"""


@pytest.mark.parametrize("place", ["mine.py", "lab/other.py", "lab/cells/mine.py"])
def test_the_folder_is_found(workdir: Path, place: str) -> None:
    (workdir / place).parent.mkdir(parents=True, exist_ok=True)
    (workdir / place).write_text(FILE)
    folder = Path(place).parts[0] if "/" in place else "."
    assert folder_with("cell", "mine") == Path(folder)
    error = not_loaded("cell", "mine")
    assert error is not None
    assert f"registered by a file in '{folder}'" in str(error)
    assert str(error).endswith(f"export RNNEXP_PLUGINS={folder}")


@pytest.mark.parametrize(("kind", "name"), [("task", "mine"), ("cell", "min"), ("cell", "m.ne")])
def test_another_name_or_kind_is_not(workdir: Path, kind: str, name: str) -> None:
    (workdir / "mine.py").write_text(FILE)
    assert folder_with(kind, name) is None
    assert not_loaded(kind, name) is None


def test_what_lies_deeper_or_hidden_or_cannot_be_read_is_left_alone(workdir: Path) -> None:
    for place in ("a/b/mine.py", ".hidden/mine.py", "_private.py"):
        (workdir / place).parent.mkdir(parents=True, exist_ok=True)
        (workdir / place).write_text(FILE)
    (workdir / "folder.py").mkdir()
    (workdir / "binary.py").write_bytes(b"\xff\xfe\x00")
    assert folder_with("cell", "mine") is None
