"""Which runs ``rnnexp compare`` takes, and what it makes of them."""

import csv
from pathlib import Path
from statistics import fmean, stdev

import pytest

from rnnexp.__main__ import run
from rnnexp.files import RUN
from rnnexp.tracking import RunHeader, RunLog
from rnnexp.tracking.files import write_json
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


def rows(file: str) -> list[dict[str, str]]:
    with Path(file).open(newline="", encoding="utf-8") as sheet:
        return list(csv.DictReader(sheet))


def test_the_table_is_written_in_full_precision(workdir: Path) -> None:
    loss = 0.12345678901234567
    finished("gru-s0", ID, **{"test/loss": loss})
    finished("lstm-s0")
    assert run(["compare", "--csv", "table.csv"]) == 0
    gru, lstm = rows("table.csv")
    assert float(gru["test/loss"]) == loss
    assert (gru["cell"], gru["run id"], gru["status"]) == ("gru", ID, "FINISHED")
    assert (lstm["cell"], lstm["test/loss"], lstm["run id"]) == ("lstm", "", "")


def test_rows_do_not_stand_as_runs_have_ended(workdir: Path) -> None:
    for name in ("lstm-s9", "gru-s1", "gru-s0"):
        finished(name)
    assert run(["compare", "--csv", "table.csv"]) == 0
    assert [row["cell"] + row["seed"] for row in rows("table.csv")] == ["gru0", "gru1", "lstm9"]


def test_over_seeds_mean_deviation_and_number_have_columns(workdir: Path) -> None:
    for name, loss in (("gru-s0", 0.1), ("gru-s1", 0.3), ("lstm-s0", 1 / 3)):
        finished(name, **{"test/loss": loss})
    assert run(["compare", "--seeds", "--csv", "table.csv"]) == 0
    gru, lstm = rows("table.csv")
    assert list(gru) == ["cell", "runs", "test/loss_mean", "test/loss_deviation", "seconds_mean"]
    assert (gru["cell"], gru["runs"]) == ("gru", "2")
    assert float(gru["test/loss_mean"]) == fmean((0.1, 0.3))
    assert float(gru["test/loss_deviation"]) == stdev((0.1, 0.3))
    assert float(lstm["test/loss_mean"]) == 1 / 3
    assert (lstm["runs"], lstm["test/loss_deviation"]) == ("1", "")


def test_help_names_the_kinds_of_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["compare", "--help"])
    assert ".png, .svg, .pdf" in capsys.readouterr().out


def test_a_table_over_another_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["compare", "--csv", "config.yaml"])
    assert "config.yaml: end the name in .csv." in capsys.readouterr().err
