"""A plugin that ends its process at import is named, and ends no sweep."""

from pathlib import Path

import pytest

from rnnexp.__main__ import run
from rnnexp.app.config import rehearsal
from rnnexp.app.config.rehearsal import rehearse
from rnnexp.errors import PluginError

ENDS = {
    "import os; os._exit(3)": "ends the process with code 3",
    "import os; os.kill(os.getpid(), 9)": "ends the process by SIGKILL",
    "while True: pass": "has not ended after 0.5 seconds",
}
GOES_ON = ["x = 1", "raise ValueError", "import sys; sys.exit(4)", "print('text')", "x ="]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever threads the tests before have left: without a copy the file would end the tests."""
    monkeypatch.setattr("threading.active_count", lambda: 1)


def plugins(folder: Path, *sources: str) -> list[Path]:
    folder.mkdir()
    files = [folder / f"{chr(ord('a') + number)}.py" for number in range(len(sources))]
    for file, source in zip(files, sources, strict=True):
        file.write_text(source)
    return files


@pytest.mark.parametrize("source", ENDS)
def test_the_file_that_ends_it_is_named(
    source: str, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "PATIENCE_SECONDS", 0.5)
    _, wrong, _ = plugins(workdir / "mine", "x = 1", source, "y = 1")
    with pytest.raises(PluginError) as refused:
        rehearse(["mine"])
    assert f"The import of the plugin file {wrong.resolve()} {ENDS[source]}." in str(refused.value)


def test_what_the_import_for_good_will_tell_passes(
    workdir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plugins(workdir / "mine", *GOES_ON)
    rehearse(["mine"])
    assert capfd.readouterr() == ("", "")


def test_nothing_is_rehearsed_without_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fork", None)
    rehearse([])


@pytest.mark.parametrize("words", [["train", "-m"], ["sweep", "plan"]])
def test_a_sweep_is_refused_before_anything_is_made(
    words: list[str], workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugins(workdir / "mine", "import os; os._exit(0)")
    assert run([*words, "seed=0,1", "plugin_dirs=[mine]"]) == 2
    assert "ends the process with code 0. Mend the file" in capsys.readouterr().err
    assert not (workdir / "outputs").exists()
