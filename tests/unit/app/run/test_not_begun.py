"""A run that was stopped while its record was opened has no config to go on with."""

from pathlib import Path

import pytest

from rnnexp.app.run.load import load_network
from rnnexp.app.run.resume import WHICH, locate, run_folder
from rnnexp.errors import ConfigError
from rnnexp.tracking import RunHeader, RunLog

COMMAND = "rnnexp train cell=elman"


@pytest.mark.parametrize("find", [locate, run_folder, load_network])
@pytest.mark.parametrize("known", [True, False])
def test_it_is_said_how_it_starts_again(workdir: Path, find, known: bool) -> None:
    tags = {"rnnexp.command": COMMAND} if known else {}
    RunLog(workdir / "run", RunHeader("run", "study", {}, tags), "", None).end("KILLED")
    with pytest.raises(ConfigError, match="stopped before its config was written") as refused:
        find("run")
    assert str(refused.value).endswith(f"by the same command: {COMMAND}" if known else "command.")


@pytest.mark.parametrize("find", [run_folder, load_network])
def test_a_config_that_was_removed_is_said_to_be(earlier: Path, find) -> None:
    (earlier / "config.yaml").unlink()
    with pytest.raises(ConfigError, match=r"config.yaml, .* was removed\. Copy it back"):
        find("run")
    assert locate("run").folder == Path("run"), "its command may name the config again"


@pytest.mark.parametrize("tags", [{}, {"rnnexp.sweep.jobs": "2"}])
def test_a_folder_that_is_no_run_is_not_called_one(workdir: Path, tags: dict[str, str]) -> None:
    folder = workdir / "other"
    folder.mkdir()
    if tags:  # a sweep has a record of its own
        RunLog(folder, RunHeader("study", "study", {}, tags), "", None).end("FINISHED")
    with pytest.raises(ConfigError, match="No run 'other': no such"):
        run_folder("other")


@pytest.mark.parametrize("find", [locate, run_folder, load_network])
def test_a_run_that_there_is_not_is_said_in_the_same_words(workdir: Path, find) -> None:
    with pytest.raises(ConfigError) as refused:
        find("adding-lstm-s0")
    assert str(refused.value) == (
        "No run 'adding-lstm-s0': no such file or folder of one, and none of this id below "
        f"{workdir / 'outputs'}. Give its {WHICH}."
    )
