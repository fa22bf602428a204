"""What ``rnnexp cells``, ``options`` and the ``-h`` of commands look like on 80 columns."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from rnnexp.__main__ import COMMANDS, run
from rnnexp.app.config.catalogue import by_family
from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.config.overrides import parse
from rnnexp.app.config.schema import GROUPS
from rnnexp.options import options_of
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


def test_a_cell_of_a_family_of_its_own_is_listed_under_it(plugins: Registry) -> None:
    elman, gru = plugins.get("cell", "elman"), plugins.get("cell", "gru")
    looks = replace(elman, name="looks", cls=type("Looks", (elman.cls,), {"family": "attention"}))
    groups = [(family, [e.name for e in found]) for family, found in by_family([looks, gru])]
    assert groups == [("gated", ["gru"]), ("attention", ["looks"])]


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_file_that_lies_here_is_named_where_its_plugin_is_missed(
    kind: Kind, workdir: Path, plugins: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    (workdir / "mine.py").write_text(f'@register_{kind}("mine")\n')
    assert run([f"{kind}s", "mine"]) == 2
    assert f"The {kind} 'mine' is registered by a file in '.'" in capsys.readouterr().err
    assert run([f"{kind}s", "other"]) == 2
    assert f"Unknown {kind} 'other'." in capsys.readouterr().err


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


def test_the_keys_of_a_group_have_default_type_and_meaning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["options", "clip", "monitor"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    words = " ".join(said.split())
    assert "presets: clip=none|norm|value" in words
    assert "clip.max_norm=1.0 (float | null) largest global norm, with by=norm." in words
    assert "monitor.nonfinite=raise (raise | skip | rollback)" in words
    assert "trainer." not in said


def test_the_keys_of_sweeps_are_shown_by_launcher_and_sweeper(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["options", "hydra.launcher", "hydra.sweeper"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "hydra.launcher, with hydra/launcher=local How many jobs run at once" in words
    assert "hydra.launcher.jobs=null (int | null) how many at once; null takes one per" in words
    assert "with hydra/launcher=submitit_slurm Jobs of one Slurm array." in words
    assert "hydra.sweeper.sampler_options={} (dict) arguments of Optuna's class" in words
    assert "_target_" not in words


def test_the_keys_of_torch_are_shown_by_preset(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["options", "optimizer", "scheduler"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    words = " ".join(said.split())
    assert "presets: optimizer=adam|adamw|rmsprop|sgd" in words
    assert "presets: scheduler=cosine|none|step|warmup" in words
    assert "optimizer=rmsprop (torch.optim.RMSprop) optimizer.lr=0.001 (float) learning" in words
    assert "+optimizer.fused=null (bool | null) whether the fused implementation is used" in words
    assert "scheduler=none The learning rate stays. scheduler=step lr * gamma after every" in words
    assert "scheduler.T_max=${trainer.max_steps} (int) Maximum number of iterations" in words
    assert "last_epoch" not in words


@pytest.mark.parametrize("kind", ["cell", "task"])
def test_a_default_can_be_given_as_it_is_shown(
    kind: Kind, plugins: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    options = [option for entry in plugins.all(kind) for option in entry.options]
    assert run([f"{kind}s", *plugins.names(kind)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"  {kind}.")]
    shown = parse([line.split()[0] for line in lines])
    assert len(shown) == len(options)
    for override, option in zip(shown, options, strict=True):
        assert option.argument(override.value()) == option.default, option.name


def test_every_key_is_listed_with_what_a_run_without_overrides_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["options"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "  (" in line]
    prepare([])
    values = check_jobs([], multirun=False, config_dir=None)[0].plan.values
    for group, cls in GROUPS.items():
        for option in options_of(cls):
            value = values[group][option.name]
            assert f"{group}.{option.name}={shown(value)}" in listed
    assert {"seed=0", "threads=null", "plugin_dirs=[]"} <= set(listed)


def shown(value: object) -> str:
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("trainr", "Unknown group 'trainr'. Did you mean 'trainer'?"),
        ("cell", "rnnexp cells NAME"),
        ("callbacks", "rnnexp callbacks NAME"),
    ],
)
def test_a_group_that_is_none_is_refused_in_words(
    group: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["options", group]) == 2
    assert words in capsys.readouterr().err
