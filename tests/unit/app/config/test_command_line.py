"""What the program hints at can be typed: the shell hands it on, and Hydra reads the same value."""

import shlex
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rnnexp.__main__ import run
from rnnexp.app.config.command_line import key_value
from rnnexp.app.config.overrides import parse
from rnnexp.app.run.stopped import after_stop
from rnnexp.errors import PluginError
from rnnexp.registry import check_name
from rnnexp.training.checkpoints import SafeCheckpointIO

VALUES = ["/tmp/w 6 ü/run", "outputs/a=b,c", "it's here", "~/x", "84248e89", "[a]", "a\tb", "null"]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_read_as_it_is(value: str) -> None:
    (word,) = shlex.split(key_value("resume", value))
    (override,) = parse([word])
    assert override.value() == value


def test_what_needs_no_quotes_has_none() -> None:
    assert key_value("resume", Path("outputs/run")) == "resume=outputs/run"


def test_the_hint_after_a_signal_can_be_typed(tmp_path: Path) -> None:
    folder = tmp_path / "w 6 ü"
    SafeCheckpointIO().save_checkpoint({}, folder / "checkpoints" / "last.ckpt")
    word = shlex.split(after_stop(folder))[-1]
    assert parse([word])[0].value() == str(folder)


@pytest.mark.parametrize("name", ["größe", "null", "a-b"])
def test_a_new_cell_has_a_name_that_can_be_typed(
    name: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["new-cell", name]) == 2
    assert f"'{name}' cannot name a cell" in capsys.readouterr().err
    assert list(workdir.iterdir()) == []


def test_the_hints_of_a_new_cell_can_be_typed(
    workdir: Path, registry: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["new-cell", "fresh", "--folder", "my cells"]) == 0
    check, train = capsys.readouterr().out.splitlines()[1:]
    assert shlex.split(check)[-1] == "my cells/fresh.py"
    assert shlex.split(train)[0] == "RNNEXP_PLUGINS=my cells"


NAMES = ["null", "NULL", "nan", "NaN", "inf", "true", "False", "yes", "no", "On", "off", "größe"]
NAMES += ["none", "info", "y", "e5", "E5", "_", "x1", "nanx", "infinity", "defaults"]


@pytest.mark.parametrize("name", NAMES)
def test_a_plugin_has_any_name_that_is_read_as_it_is(name: str) -> None:
    in_a_file = OmegaConf.create(f"cell: {name}").cell
    is_read = key_value("cell", name) == f"cell={name}" and in_a_file == name
    try:
        check_name("cell", name)
    except PluginError:
        assert not is_read
    else:
        assert is_read
