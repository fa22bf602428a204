"""A recorded step made again: the same loss, norm and profile, to the bit of what was recorded."""

import math
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from mlflow.tracking import MlflowClient

from rnnexp.__main__ import run
from rnnexp.app.commands.landscape import slice_of
from rnnexp.app.commands.recorded import asked_for
from rnnexp.app.commands.replay import profile_lines
from rnnexp.app.run.rebuild import rebuild
from rnnexp.monitors.events import CliffEvent, append_event, load_events
from rnnexp.monitors.groups import GroupNorms
from rnnexp.report.slice import Slice
from rnnexp.tracking import load_run

CLIFFY = ["task=temporal_order", "task.length=30", "cell=elman", "cell.hidden_size=24"]
CLIFFY += ["clip=none", "optimizer=sgd", "optimizer.lr=0.7", "trainer.max_steps=90"]
# Chance decides where training meets a true cliff: a low bar finds some step above the usual.
CLIFFY += ["monitor.cliff_ratio=1.5", "monitor.cliff_deviations=0.5"]
CLIFFY += ["trainer.val_every=40", "task.val_batches=1", "task.test_batches=1", "threads=1"]


BLOWN_UP = ["cell=elman", "clip=none", "task.length=8", "optimizer=sgd", "optimizer.lr=3"]
BLOWN_UP += ["trainer.max_steps=40", "trainer.val_every=20", "tracking.wait=0", "threads=1"]


@pytest.fixture
def folder(rnnexp, workdir: Path, store_uri: str) -> Path:
    done = rnnexp("train", *CLIFFY)
    assert done.code == 0, done.err
    (file,) = workdir.rglob("summary.json")
    return file.parent


def test_a_recorded_step_is_made_again(
    folder: Path, capsys: pytest.CaptureFixture[str], store_uri: str
) -> None:
    recorded = dict(load_run(folder).metrics["train/loss"])
    for step in (1, 70, 90):  # from the seed, from a checkpoint, the last
        assert rebuild(folder, step).loss == pytest.approx(recorded[step], rel=1e-5)
    events = load_events(folder)
    assert events, "the run met no cliff: the test shows nothing"
    event = max(events, key=lambda e: e.raw_norm)
    made = rebuild(folder, event.step)
    assert made.batches[0].seed == event.batch_seed
    assert made.loss == pytest.approx(event.loss_before, rel=1e-5)
    assert made.flows[0].norms["layer0"] == pytest.approx(event.grad_norm_T, rel=1e-3)
    check_slice(slice_of(made, event.step), event)
    assert run(["replay", str(folder)]) == 0
    assert f"step {event.step}  loss" in capsys.readouterr().out
    assert run(["landscape", str(folder)]) == 0
    assert "In the record of the run: delivered" in capsys.readouterr().out
    picture = folder / f"landscape_{event.step}.png"
    assert (plt.imread(picture)[..., :3] < 0.99).any(-1).mean() > 0.02
    assert len(picture.with_suffix(".csv").read_text().splitlines()) == 202
    (stored,) = {run.info.run_id for run in MlflowClient(store_uri).search_runs(["1"])}
    kept = {file.path for file in MlflowClient(store_uri).list_artifacts(stored, "pictures")}
    made = {f"pictures/{name}_{event.step}" for name in ("replay", "landscape")}
    assert {path.rpartition(".")[0] for path in kept} >= made
    assert run(["replay", str(folder), "91"]) == 2
    assert "has steps 1 to 90, not 91" in capsys.readouterr().err


def check_slice(along: Slice, event: CliffEvent) -> None:
    assert along.norm == pytest.approx(event.raw_norm, rel=1e-4)
    middle = len(along.losses) // 2
    assert along.losses[middle] == pytest.approx(event.loss_before, rel=1e-5)


@pytest.mark.parametrize(
    "precision", ["64-true", pytest.param("bf16-true", marks=pytest.mark.slow), "bf16-mixed"]
)
def test_a_step_is_made_again_in_the_precision_of_its_run(
    rnnexp, workdir: Path, store_uri: str, precision: str
) -> None:
    words = ["task.length=8", "trainer.max_steps=9", "trainer.val_every=4", "tracking.wait=0"]
    options = [f"trainer.precision={precision}", "threads=1", "hydra.run.dir=out"]
    done = rnnexp("train", "cell=lstm", "cell.hidden_size=8", *words, *options)
    assert done.code == 0, done.err
    recorded = dict(load_run(workdir / "out").metrics["train/loss"])
    for step in (1, 7):  # from the seed, from a checkpoint
        made = rebuild(workdir / "out", step)
        # To show dL/dh_t takes another backend than torch's, which mixed precision trains by.
        exactly = 1e-4 if precision == "bf16-mixed" else 0.0
        assert made.loss == pytest.approx(recorded[step], rel=exactly)
        along = slice_of(made, step)
        assert along.losses[len(along.losses) // 2] == pytest.approx(made.loss, rel=1e-2)


@pytest.mark.slow
def test_the_step_whose_gradient_ended_the_run_is_made_again(
    rnnexp, workdir: Path, store_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = rnnexp("train", *BLOWN_UP)
    assert done.code == 1, done.err
    (file,) = workdir.rglob("summary.json")
    folder, (*_, last) = str(file.parent), load_events(file.parent)
    recorded = dict(load_run(file.parent).metrics["train/loss"])
    assert last.kind == "nonfinite"
    assert max(recorded) == last.step
    assert run(["replay", folder]) == 0
    said = capsys.readouterr().out
    assert f"step {last.step}  loss inf" in said
    assert f"rows from seed {last.batch_seed}" in said
    assert run(["replay", folder, str(last.step + 1)]) == 2
    assert f"has steps 1 to {last.step}, not {last.step + 1}" in capsys.readouterr().err
    assert run(["landscape", folder, str(last.step)]) == 2
    said = capsys.readouterr().err
    assert "has the norm inf, and is no direction" in said
    assert f"Name another step, such as {last.step - 1}." in said
    assert run(["landscape", folder, str(last.step - 1)]) == 0


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_the_largest_cliff_is_the_default_in_any_order(tmp_path: Path, order) -> None:
    (tmp_path / "config.yaml").touch()
    norms = (5.0, math.nan, 7.0)
    for i in order:
        event = CliffEvent(
            **dict.fromkeys(("median", "ratio", "lr", "loss_before", "clipped_norm"), 1.0),
            **dict.fromkeys(("loss_after", "layer", "time_step")),
            kind="spike" if math.isfinite(norms[i]) else "nonfinite",
            step=i,
            raw_norm=norms[i],
            group="readout",
            grad_norm_T=(),
            batch_seed=0,
        )
        append_event(tmp_path, event)
    assert asked_for("replay", [str(tmp_path)], None) == (tmp_path, 1)
    assert asked_for("landscape", [str(tmp_path)], None, nonfinite=-math.inf) == (tmp_path, 2)


def test_an_unknown_run_is_refused(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", "nothing"]) == 2
    assert "No run 'nothing'" in capsys.readouterr().err


def test_bars_stand_for_orders_of_magnitude() -> None:
    scale, *lines = profile_lines([1e-4, 1e-2, 1.0, 0.0])
    assert [line.count("#") for line in lines] == [1, 21, 40, 0]
    assert scale == "  bars on a log scale from 0.0001 to 1, 1e+04-fold"


def test_a_stretch_of_time_is_named_by_both_its_ends() -> None:
    scale, *lines = profile_lines([0.1] * 55 + [0.4], 3)
    assert scale == "  largest of 3 steps, bars on a log scale from 0.1 to 0.4, 4-fold"
    assert [line.split()[:2] for line in lines[-2:]] == [["t=55-57", "0.1"], ["t=58-59", "0.4"]]
    assert profile_lines([0.4])[1].split()[0] == "t=1"


def test_a_norm_that_is_not_finite_is_shown_wherever_it_stands() -> None:
    for pair in ([1.0, math.nan], [math.nan, 1.0]):
        assert [line.split()[-1] for line in profile_lines(pair * 25)[1:]] == ["nan"] * 25


def test_omega_is_in_the_gradient_of_a_step_made_again(
    rnnexp, workdir: Path, store_uri: str
) -> None:
    done = rnnexp("train", *CLIFFY, "omega=paper", "clip=norm", "trainer.max_steps=20")
    assert done.code == 0, done.err
    (file,) = workdir.rglob("summary.json")
    norms = dict(load_run(file.parent).metrics["grad/raw_norm"])
    recorded = dict(load_run(file.parent).metrics["train/omega"])
    made = rebuild(file.parent, 20)
    assert recorded[20] > 0
    assert GroupNorms(made.module.network).total() == pytest.approx(norms[20], rel=1e-4)


def test_a_step_of_several_batches_is_made_again_whole(
    rnnexp, workdir: Path, store_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["trainer.accumulate=2", "task.train_batches=5", "trainer.max_steps=7"]
    options += ["scheduler=step", "scheduler.step_size=3", "scheduler.gamma=0.1"]
    done = rnnexp("train", *CLIFFY, *options)
    assert done.code == 0, done.err
    (file,) = workdir.rglob("summary.json")
    metrics = load_run(file.parent).metrics
    losses, norms = dict(metrics["train/loss"]), dict(metrics["grad/raw_norm"])
    for step, batches, rate in ((2, 2, 0.7), (3, 1, 0.7), (4, 2, 0.07), (7, 2, 0.007)):
        made = rebuild(file.parent, step)  # the third is the last of an epoch of 5 batches
        assert len(made.batches) == batches
        assert made.loss == pytest.approx(losses[step], rel=1e-5)
        assert GroupNorms(made.module.network).total() == pytest.approx(norms[step], rel=1e-4)
        assert made.lr == pytest.approx(rate)
        along = slice_of(made, step)
        assert along.marks["raw step of plain SGD"] == pytest.approx(rate * norms[step], rel=1e-4)
    assert run(["replay", str(file.parent), "4"]) == 0
    assert capsys.readouterr().out.count("rows from seed") == 2
