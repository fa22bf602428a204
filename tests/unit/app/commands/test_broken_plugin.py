"""A plugin that raises or exits is named, and takes nothing away from the others."""

import sys
from pathlib import Path

import pytest

from rnnexp.__main__ import main, run
from rnnexp.discovery import ENVIRONMENT
from rnnexp.registry import Registry

CELL = """\
import sys
from rnnexp.cells import PointwiseCell, register_cell


@register_cell("{name}")
class Broken(PointwiseCell):
    \"\"\"It breaks.\"\"\"

    num_gates = 1

    def __init__(self, input_size: int, **options):
        super().__init__(input_size, **options)
        {made}

    def update(self, wx, rh, state):
        {stepped}
        return ((wx + rh).squeeze(-2),)
"""


@pytest.fixture
def broken(workdir: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with cells that break in their constructor, at a step, and only in training."""
    folder = workdir / "mine"
    folder.mkdir()
    training = "if self.training and len(wx) == 32: raise ValueError('boom of mine')"
    for name, made, stepped in (
        ("exiter", "sys.exit(0)", ""),
        ("raiser", "raise RuntimeError('no such size')", ""),
        ("stumbler", "", "sys.exit(0)"),
        ("late", "", training),
    ):
        text = CELL.format(name=name, made=made, stepped=stepped)
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.setenv(ENVIRONMENT, str(folder))
    monkeypatch.setenv("COLUMNS", "200")
    return folder


def test_the_other_cells_are_listed(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cells"]) == 1
    said = capsys.readouterr().out
    assert "  lstm  " in said
    assert "  late  " in said
    line = "not counted  The cell '{0}' {1}. Look at {2}/{0}.py:{3}."
    for name, what, at in (
        ("exiter", "cannot be made. SystemExit: 0", 13),
        ("raiser", "cannot be made. RuntimeError: no such size", 13),
        ("stumbler", "fails at its first step. SystemExit: 0", 16),
    ):
        assert line.format(name, what, broken, at) in said
    assert "late'" not in said


@pytest.mark.parametrize("words", [("cell=exiter",), ("-m", "cell=elman,exiter")])
def test_a_cell_that_exits_is_refused(
    words: tuple[str, ...], broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", *words]) == 2
    said = capsys.readouterr().err
    assert f"The cell 'exiter' cannot be made. SystemExit: 0. Look at {broken}/exiter.py:13" in said


def test_check_goes_on_after_a_cell_that_exits(
    broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", "exiter", "stumbler", "--quick"]) == 1
    said = capsys.readouterr().out
    assert said.count("SystemExit: 0") > 1
    assert said.count("of its promises fail") == 2


@pytest.mark.parametrize("traceback", ["0", "1"])
def test_what_gets_through_is_the_plugins_all_the_same(
    traceback: str,
    broken: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unguarded(command: str, arguments: list[str]) -> int:
        from rnnexp.discovery import load_plugins
        from rnnexp.registry import REGISTRY

        load_plugins()
        REGISTRY.get("cell", arguments[0]).cls(3)
        return 0

    monkeypatch.setattr("rnnexp.app.commands.listing.main", unguarded)
    monkeypatch.setenv("RNNEXP_TRACEBACK", traceback)
    for name, words in (("exiter", "SystemExit: 0"), ("raiser", "RuntimeError: no such size")):
        if traceback == "1":
            with pytest.raises(RuntimeError, match=r"sys\.exit|no such size"):
                run(["cells", name])
            continue
        assert run(["cells", name]) == 1
        said = capsys.readouterr().err
        assert f"rnnexp: {words}\nIt came out of a plugin, at {broken}/{name}.py:13;" in said
        assert "bug" not in said


def test_argparse_still_ends_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, code in ((["cells", "-h"], 0), (["cells", "--nothing"], 2)):
        monkeypatch.setattr(sys, "argv", ["rnnexp", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == code


def test_a_run_that_fails_names_the_line(rnnexp, broken: Path) -> None:
    small = [f"task.{split}_batches=2" for split in ("train", "val", "test")]
    words = ["cell=late", "task=adding", "task.length=10", *small, "unroll.backend=loop"]
    done = rnnexp("train", "tracking.wait=0", *words, **{ENVIRONMENT: str(broken)})
    assert done.code == 1
    place = f"{broken}/late.py:16"
    assert f"FAILED: ValueError: boom of mine, at {place}; the traceback is in error" in done.err
    (written,) = broken.parent.glob("outputs/*/*/error.txt")
    assert "boom of mine" in written.read_text(encoding="utf-8")
