"""What ``rnnexp cells`` and the ``-h`` of commands look like on a terminal of 80 columns."""

from typing import get_args

import pytest

from rnnexp.__main__ import COMMANDS, run
from rnnexp.registry import Kind, Registry


@pytest.mark.parametrize("kind", get_args(Kind))
def test_options_fit_a_terminal_and_stand_in_columns(
    kind: Kind, plugins: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = plugins.names(kind)
    assert names
    for name in names:
        assert run([f"{kind}s", name]) == 0
        said = capsys.readouterr().out.splitlines()
        lines = [line for line in said if line.startswith((f"  {kind}.", f"  {kind}s."))]
        assert len(lines) == len(plugins.get(kind, name).options)
        assert all(len(line) <= 80 for line in lines)
        assert len({line.index(" (") for line in lines if " (" in line[:46]}) <= 1


def test_the_meaning_of_an_option_is_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["tasks", "char_lm"]) == 0
    said = capsys.readouterr().out
    assert "``" not in said
    assert max(map(len, said.splitlines()[4:-2])) <= 80
    words = " ".join(said.split())
    assert "fed back (model.feedback=output): under teacher forcing the same likelihood" in words


def _exit_code(words: list[str]) -> object:
    try:
        return run(words)
    except SystemExit as ended:  # of argparse
        return ended.code


@pytest.mark.parametrize("command", sorted({*COMMANDS} - {"train"}))
def test_help_is_plain(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _exit_code([command, "-h"]) == 0
    said = capsys.readouterr().out
    assert f"rnnexp {command}" in said
    assert "`" not in said
