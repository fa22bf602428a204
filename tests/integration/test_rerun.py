"""An old run made again, after its plugin's file has changed or gone."""

import re
import signal
from pathlib import Path

import pytest
import torch
from mlflow.tracking import MlflowClient

from ..waiting import comes_true

CELL = '''
import torch
from rnnexp.cells import PointwiseCell, register_cell

@register_cell("scaled")
class Scaled(PointwiseCell):
    """An Elman unit whose past is scaled.

        h_t = tanh(W x_t + SCALE R h_{t-1} + b)

    Source: nobody.
    """

    num_gates = 1

    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh((wx_BGH + SCALE * rh_BGH).squeeze(-2)),)
'''
OPTIONS = ["cell=scaled", "plugin_dirs=[mine]", "task.length=8", "cell.hidden_size=6", "threads=1"]
OPTIONS += ["trainer.max_steps=12", "trainer.val_every=6", "task.val_batches=2"]


@pytest.mark.parametrize(
    "then", [pytest.param("unchanged", marks=pytest.mark.slow), "changed", "gone"]
)
def test_a_run_is_made_again_to_the_last_bit(
    rnnexp, workdir: Path, store_uri: str, then: str
) -> None:
    file = workdir / "mine" / "scaled.py"
    file.parent.mkdir()
    file.write_text(CELL.replace("SCALE", "0.5"))
    done = rnnexp("train", *OPTIONS)
    assert done.code == 0, done.err
    (run_id,) = re.findall(r"run (\w{32})", done.out)
    if then == "changed":
        file.write_text(CELL.replace("SCALE", "0.9"))
    elif then == "gone":
        file.unlink()
        file.parent.rmdir()
    again = rnnexp("rerun", run_id)
    assert again.code == 0, again.err
    assert "The same figures as before, to the last bit:" in again.out, again.out
    assert ("cell scaled as it was then" in again.err) == (then != "unchanged")
    client = MlflowClient(store_uri)
    runs = client.search_runs(["1"], order_by=["start_time ASC"])
    assert [run.data.tags.get("rnnexp.rerun_of") for run in runs] == [None, run_id]
    assert len({run.data.tags["rnnexp.source.cell"] for run in runs}) == 1
    kept = {f.path for f in client.list_artifacts(runs[0].info.run_id, "plugins/cells")}
    assert kept == {"plugins/cells/scaled.py"}
    if then == "changed":  # what the changed file gives is something else
        other = rnnexp("train", *OPTIONS)
        assert other.code == 0, other.err
        first, last = (re.findall(r"test loss ([\d.e-]+)", out) for out in (done.out, other.out))
        assert first != last
        told = rnnexp("compare", "--seeds")
        _check_compared(told.out, told.err)


def _check_compared(table: str, said: str) -> None:
    # The rerun is no second sample, and the edited cell is another one.
    assert "a run repeats another with the same config, sources and seed" in said
    assert re.search(r"Left out: outputs/\S*-rerun-\S*$", said.strip()), said
    head, *rows = [line.split() for line in table.splitlines() if line.strip(" ─")]
    assert head[:2] == ["source.cell", "runs"]
    assert [row[1] for row in rows] == ["1", "1"]


def test_figures_that_differ_are_told(rnnexp, workdir: Path, store_uri: str) -> None:
    done = rnnexp("train", "cell=elman", *OPTIONS[2:], "tracking.wait=0")
    assert done.code == 0, done.err
    (journal,) = workdir.glob("outputs/*/*/journal.jsonl")
    text = journal.read_text()
    (loss,) = re.findall(r'"step": 7,.*?"train/loss": ([\d.]+)', text)
    journal.write_text(text.replace(f'"train/loss": {loss}', '"train/loss": 77.0'))
    again = rnnexp("rerun", str(journal.parent))
    assert "figures differ, the first at step 7: train/loss was 77.0, is " in again.out
    assert "not all of it reached" in again.err, "nobody waits for the store"
    assert "later: rnnexp sync outputs/" in again.err


LONG = ["cell=elman", *OPTIONS[2:], "trainer.max_steps=1500", "trainer.val_every=50"]
STOPS = [signal.SIGKILL], [signal.SIGTERM, signal.SIGKILL]


@pytest.mark.slow
@pytest.mark.parametrize("stops", STOPS)
def test_a_rerun_that_was_stopped_goes_on_by_the_same_command(
    rnnexp, start_copy, workdir: Path, store_uri: str, stops: list[signal.Signals]
) -> None:
    done = rnnexp("train", *LONG)
    assert done.code == 0, done.err
    (run_id,) = re.findall(r"run (\w{32})", done.out)
    for signum in stops:
        before = checkpoint_of_rerun(workdir)
        rerun = start_copy("-m", "rnnexp", "rerun", run_id, cwd=workdir)
        assert comes_true(lambda before=before: checkpoint_of_rerun(workdir) > before)
        rerun.send_signal(signum)
        assert rerun.wait(60) == (143 if signum == signal.SIGTERM else -signum)
    again = rnnexp("rerun", run_id)
    assert again.code == 0, again.err
    assert f"going on with {folder_of_rerun(workdir).relative_to(workdir)}" in again.err
    (same,) = re.findall(r"The same figures as before, to the last bit: (\d+ of \d+)", again.out)
    assert len(set(same.split(" of "))) == 1, same
    runs = MlflowClient(store_uri).search_runs(["1"])
    assert [run.info.status for run in runs] == ["FINISHED"] * 2


def folder_of_rerun(workdir: Path) -> Path:
    (folder,) = workdir.glob("outputs/*/*-rerun-*")
    return folder


def checkpoint_of_rerun(workdir: Path) -> int:
    files = list(workdir.glob("outputs/*/*-rerun-*/checkpoints/last.ckpt"))
    return torch.load(files[0], weights_only=True)["global_step"] if files else 0


@pytest.mark.slow
def test_a_run_that_began_with_a_checkpoint_begins_with_it_again(
    rnnexp, workdir: Path, store_uri: str
) -> None:
    words = ["cell=elman", *OPTIONS[2:], "tracking.wait=0"]
    assert rnnexp("train", *words, "seed=1", "hydra.run.dir=first").code == 0
    file = "resume=first/checkpoints/last.ckpt"
    done = rnnexp("train", *words, file, "trainer.max_steps=18", "hydra.run.dir=second")
    assert done.code == 0, done.err
    again = rnnexp("rerun", "second")
    assert again.code == 0, again.err
    assert "The same figures as before, to the last bit:" in again.out, again.out
