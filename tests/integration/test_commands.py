"""The commands that inform, as a user types them."""

import errno
from pathlib import Path
from typing import get_args

import pytest
import yaml

from rnnexp.__main__ import run
from rnnexp.cells import Family
from rnnexp.registry import Registry


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    said = capsys.readouterr().out
    for name in ("train", "cells", "tasks", "compare", "ui", "sync"):
        assert f"rnnexp {name}" in said


def test_cells_show_options_equation_and_file(
    plugins: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["cells", *plugins.names("cell")]) == 0
    said = capsys.readouterr().out
    for entry in plugins.all("cell"):
        assert entry.name in said
        assert str(entry.file) in said
        assert all(f"cell.{option.name}=" in said for option in entry.options)
    assert "c_t = f * c_{t-1} + i * g" in said


def test_cells_stand_in_a_table_by_family(
    plugins: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["cells"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = {line[0]: line[1:4] for line in lines if len(line) > 3}
    assert {entry.name for entry in plugins.all("cell")} <= rows.keys()
    # 64 units on 64 inputs: 4 gates, each with 64 inputs, 64 states and a bias.
    assert rows["lstm"] == [f"{4 * 64 * 129:,}", f"{4 * 64 * 128:,}", "128"]
    headings = [line[0] for line in lines if len(line) == 1 and line[0] in get_args(Family)]
    assert headings[:2] == ["simple", "gated"]


def test_tasks_show_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tasks", "digits"]) == 0
    said = capsys.readouterr().out
    assert "task.order=pixels" in said
    assert "pixels | rows | columns" in said
    assert "copy_memory" not in said


def test_cfg_shows_the_config_that_would_run(rnnexp) -> None:
    done = rnnexp("train", "task=copy_memory", "cell=gru", "cell.hidden_size=7", "--cfg", "job")
    assert done.code == 0, done.err
    config = yaml.safe_load(done.out)
    assert config["cell"]["name"] == "gru"
    assert config["cell"]["hidden_size"] == 7
    assert config["task"]["copied"] == 10
    assert config["clip"] == {"by": "norm", "max_norm": 1.0, "max_value": None}


def test_flags_may_stand_between_overrides(workdir, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "seed=3", "--cfg", "job", "trainer.max_steps=9", "-p", "trainer"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("# @package trainer\nmax_steps: 9\n")


def test_cfg_of_an_unknown_cell_is_refused_in_words(rnnexp) -> None:
    done = rnnexp("train", "cell=gruu", "--cfg", "job")
    assert done.code == 2
    assert "Did you mean 'gru'?" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("flag", "words"),
    [("--help", "cell: "), ("--hydra-help", "rerun: Use rnnexp rerun RUN."), ("--info", "Hydra")],
)
def test_flags_of_hydra_work(rnnexp, flag: str, words: str, workdir: Path) -> None:
    done = rnnexp("train", flag)
    assert done.code == 0, done.err
    assert words in done.out
    assert not (workdir / "mlflow.db").exists()


def test_words_are_completed(rnnexp) -> None:
    line = "rnnexp train cell=g"
    done = rnnexp("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert done.code == 0, done.err
    assert "cell=gru" in done.out
    done = rnnexp("-sc", "query=bash", COMP_LINE="rnnexp com", COMP_POINT="10")
    assert done.out.split() == ["compare"]


@pytest.mark.slow
def test_a_run_goes_on_with_its_config_dir(
    rnnexp, workdir: Path, store_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (workdir / "more" / "experiment").mkdir(parents=True)
    own = "# @package _global_\ntask:\n  length: 9\n  val_batches: 1\n  test_batches: 1\n"
    (workdir / "more" / "experiment" / "mine.yaml").write_text(own)
    words = ["trainer.max_steps=4", "trainer.val_every=2", "tracking.wait=0", "hydra.run.dir=out"]
    assert rnnexp("train", "--config-dir", "more", "experiment=mine", *words).code == 0
    for steps in (6, 8):
        done = rnnexp("train", "resume=out", f"trainer.max_steps={steps}")
        assert done.code == 0, done.err
    assert yaml.safe_load((workdir / "out" / "config.yaml").read_text())["task"]["length"] == 9
    (workdir / "more").rename(workdir / "moved")
    assert run(["train", "resume=out", "trainer.max_steps=9"]) == 2
    assert f"were in {workdir / 'more'}, its --config-dir, which" in capsys.readouterr().err
    again = ["train", "--config-dir", "moved", "resume=out", "trainer.max_steps=9"]
    done = rnnexp(*again)
    assert done.code == 0, done.err


def test_config_dir_adds_configs(rnnexp, workdir: Path) -> None:
    folder = workdir / "more" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("# @package _global_\nseed: 77\n")
    done = rnnexp("train", "--config-dir", "more", "experiment=mine", "--cfg", "job")
    assert done.code == 0, done.err
    assert yaml.safe_load(done.out)["seed"] == 77


def test_compare_without_runs_says_what_to_do(rnnexp) -> None:
    done = rnnexp("compare")
    assert done.code == 2
    assert "No finished run in outputs. Start one: rnnexp train" in done.err


def test_ui_without_a_store_says_what_to_do(rnnexp) -> None:
    done = rnnexp("ui")
    assert done.code == 2
    assert "There is no store at" in done.err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["compare", "--plot", "nowhere/x.png"], "the folder nowhere does not exist"),
        (["unfold", "--plot", "x.doc"], "x.doc: end the name in .png, .svg, .pdf."),
    ],
)
def test_a_picture_that_cannot_be_is_refused(
    workdir: Path, capsys: pytest.CaptureFixture[str], command: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(command)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "new-cell mine --folder /proc/none",
        "new-task mine --folder /proc/none",
        "unfold --plot /proc/none.png",
    ],
)
def test_a_place_that_cannot_be_written_is_said(
    words: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words.split()) == 2
    said = capsys.readouterr().err
    assert "'/proc/none" in said
    assert "No such file or directory. Name a place that exists" in said
    assert "bug" not in said


def test_a_folder_without_rights_is_said(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(self: Path, *args: object, **options: object) -> int:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "write_text", refused)
    assert run(["new-cell", "mine"]) == 2
    assert "'mine.py': Permission denied." in capsys.readouterr().err


@pytest.mark.parametrize("place", [(), ("mine.py",)])
def test_a_full_disk_is_said(
    place: tuple[str, ...],
    workdir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(self: Path, *args: object, **options: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", *place)

    monkeypatch.setattr(Path, "write_text", full)
    assert run(["new-cell", "mine"]) == 2
    said = capsys.readouterr().err
    assert "No space left on device. Free some space" in said
    assert ("'mine.py': " in said) == bool(place)
    assert "bug" not in said


def test_an_error_without_a_path_is_a_bug(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(self: Path, *args: object, **options: object) -> int:
        raise OSError("strange")

    monkeypatch.setattr(Path, "write_text", broken)
    assert run(["new-cell", "mine"]) == 1
    assert "A bug, probably" in capsys.readouterr().err
