"""Files of runs are looked for where runs lie, and nowhere else."""

import os
from pathlib import Path

import pytest

from rnnexp.files import JOURNAL, RUN
from rnnexp.report.load import load_summaries, runs_without_end
from rnnexp.tracking import files_named, find_run
from rnnexp.tracking.files import write_json

RUNS = ("2026-01-01/one", "sweeps/mlflow/key", "sweeps/plugins/key", "sweeps/checkpoints/key")
INSIDE = ("checkpoints", "plugins/cells", ".hydra")


@pytest.fixture
def outputs(workdir: Path) -> Path:
    """Runs with all that lies beside them, and what a store has of them."""
    for run in RUNS:
        folder = workdir / "outputs" / run
        for inside in INSIDE:
            (folder / inside).mkdir(parents=True)
        (folder / JOURNAL).touch()
        write_json(folder / RUN, {"run_id": run.replace("/", "")})
    for number in range(5):
        (workdir / "outputs" / "mlflow" / "1" / str(number) / "artifacts").mkdir(parents=True)
    return workdir / "outputs"


@pytest.fixture
def looked_into(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the folders whose content is asked for."""
    names: list[str] = []
    scan = os.scandir

    def noting(path: os.PathLike[str] | str):
        names.append(Path(path).name)
        return scan(path)

    monkeypatch.setattr(os, "scandir", noting)
    return names


@pytest.mark.parametrize("look", [
    lambda outputs: find_run("none", outputs),
    lambda outputs: find_run("latest", outputs),
    lambda outputs: runs_without_end(outputs),
    lambda outputs: load_summaries(outputs),
])  # fmt: skip
def test_folders_that_hold_no_run_are_not_looked_into(
    outputs: Path, looked_into: list[str], look
) -> None:
    look(outputs)
    runs_and_above = {"outputs", *(name for run in RUNS for name in run.split("/"))}
    assert sorted(looked_into) == sorted([*runs_and_above, "key", "key"])


@pytest.mark.parametrize("root", ["outputs", ".", "outputs/../outputs"])
def test_runs_are_found_whatever_their_sweep_is_called(outputs: Path, root: str) -> None:
    found = {file.parent.resolve() for file in files_named(JOURNAL, Path(root))}
    assert found == {outputs / run for run in RUNS}
    assert find_run("sweepsmlflowkey", Path(root)) is not None


def test_a_folder_that_is_named_is_looked_into(outputs: Path) -> None:
    kept = outputs / "mlflow" / "1" / "0" / "artifacts"
    (kept / JOURNAL).touch()
    assert list(files_named(JOURNAL, outputs / "mlflow", outputs / "none")) == [kept / JOURNAL]
