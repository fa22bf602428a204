"""Which runs ``rnnexp compare`` takes, and what it makes of them."""

from pathlib import Path

import pytest

from rnnexp.__main__ import run
from rnnexp.tracking import RunHeader, RunLog
from rnnexp.tracking.files import RUN, write_json
from rnnexp.tracking.outcome import Outcome

ID = "8be8eda8" + "0" * 24


def finished(name: str, run_id: str | None = None, **figures: float) -> Path:
    folder = Path("outputs", name)
    RunLog(folder, RunHeader(name, "study", {}, {}), "", None).end("FINISHED")
    if run_id is not None:
        write_json(folder / RUN, {"run_id": run_id, "key": name})
    config = {"cell.name": name.partition("-")[0], "seed": name[-1]}
    Outcome(name, str(folder), "FINISHED", config, figures, 1.0, job=name).write()
    return folder


@pytest.mark.parametrize("word", [ID, ID[:8], "latest", "outputs/gru-s0"])
def test_a_run_is_named_as_elsewhere(
    workdir: Path, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    finished("lstm-s0")
    finished("gru-s0", ID)
    assert run(["compare", word]) == 0
    said = capsys.readouterr().out
    assert "gru-s0" in said
    assert "lstm-s0" not in said


def test_a_run_that_is_not_there_is_not_said_to_be_unfinished(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished("gru-s0", ID)
    assert run(["compare", "00000000"]) == 2
    said = capsys.readouterr().err
    assert f"No run '00000000': no such folder, and none of this id below {workdir}" in said
    assert "Give a folder of runs, a run's MLflow id or its first characters, or latest" in said
