"""Searches in real processes: asynchronous, pruned, killed, gone on with, of several objectives."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from rnnexp.__main__ import run as rnnexp_here

from ..recorded import points, runs_in
from ..waiting import comes_true

SMALL = ["hydra/sweeper=optuna", "sweep.name=mine", "task.length=10", "cell=gru"]
SMALL += ["cell.hidden_size=8", "trainer.max_steps=6", "trainer.val_every=3"]
SMALL += ["task.val_batches=2", "task.test_batches=2", "hydra.launcher.jobs=2"]
LONG = [*SMALL, "trainer.max_steps=300", "trainer.val_every=25", "tracking.wait=30"]

PROGRAM = """
import os, signal, sys, time
import hydra
from hydra_plugins.rnnexp_optuna_sweeper.report import report

@hydra.main(version_base="1.3", config_path=None)
def main(config):
    with open(os.environ["TIMES"], "a") as file:
        print("begin", config.x, file=file)
    if config.x == 5:
        raise ValueError("five is right out")
    report(1, config.x)
    until = time.time() + 20
    while config.x == 1 and "end 4" not in open(os.environ["TIMES"]).read():
        if time.time() > until:
            raise TimeoutError("no other trial came while this one ran")
        time.sleep(0.05)
    with open(os.environ["TIMES"], "a") as file:
        print("end", config.x, file=file)
    return config.x

main()
"""


def study(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "search.json").read_text())


def states(folder: Path) -> Counter[str]:
    return Counter(trial["state"] for trial in study(folder)["trials"])


def mine(workdir: Path) -> Path:
    return workdir / "outputs" / "sweeps" / "mine"


def family_in(uri: str) -> tuple[Run, list[Run]]:
    runs = runs_in(uri)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    return parents[0], [run for run in runs if run is not parents[0]]


def test_a_place_that_is_free_is_taken_at_once(copied, workdir: Path) -> None:
    (workdir / "program.py").write_text(PROGRAM)
    words = ["-m", "hydra/sweeper=optuna", "hydra/launcher=local", "+x=1,2,3,4,5,6"]
    words += ["hydra.sweep.dir=out", "hydra.launcher.jobs=2", "hydra.sweeper.sampler=grid"]
    done = copied("program.py", *words, cwd=workdir, TIMES=str(workdir / "times"))
    assert done.code == 0, done.err
    assert states(workdir / "out") == {"COMPLETE": 5, "FAIL": 1}
    assert "trial 0: val/loss 1 | x=1" in done.out
    assert "five is right out" in (workdir / "out" / "4" / "log_4.txt").read_text()
    times = (workdir / "times").read_text().splitlines()
    assert times.index("end 4") < times.index("end 1"), "the second place waits for no other"
    again = copied("program.py", *words, cwd=workdir, TIMES=str(workdir / "times"))
    assert again.code == 0, again.err
    assert (workdir / "times").read_text().count("begin") == 6, "nothing is run twice"


def test_values_that_were_tried_are_not_run_again(copied, workdir: Path) -> None:
    (workdir / "program.py").write_text(PROGRAM)
    words = [
        "-m",
        "hydra/sweeper=optuna",
        "hydra/launcher=local",
        "+x=3,4,5",
        "hydra.sweep.dir=out",
    ]
    words += ["hydra.launcher.jobs=2", "hydra.sweeper.sampler=random", "hydra.sweeper.trials=12"]
    words += ["hydra.sweeper.seed=0"]
    done = copied("program.py", *words, cwd=workdir, TIMES=str(workdir / "times"))
    assert done.code == 0, done.err
    assert states(workdir / "out").total() == 12
    assert states(workdir / "out")["FAIL"] > 1
    assert (workdir / "times").read_text().count("begin") == 3
    values = {t["params"]["x"]: t["values"] for t in study(workdir / "out")["trials"]}
    assert values == {"3": [3.0], "4": [4.0], "5": None}


def test_what_does_badly_is_ended_and_marked(
    rnnexp, workdir: Path, store_uri: str, registry, capsys
) -> None:
    words = ["optimizer.lr=0.01,0.02,1e-7,1e-6", "hydra.sweeper.sampler=grid"]
    # The first two run side by side, and neither ends the other: nothing is pruned before two are
    # complete.
    words += ["hydra.sweeper.pruner=median", "hydra.sweeper.pruner_options.n_startup_trials=2"]
    done = rnnexp("train", "-m", *LONG, *words, timeout=120)
    assert done.code == 0, done.err
    assert "pruned at step" in done.err
    assert states(mine(workdir)) == {"COMPLETE": 2, "PRUNED": 2}
    parent, children = family_in(store_uri)
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["rnnexp.sweep.finished"] == "2 of 4"
    assert parent.data.tags["rnnexp.sweep.pruned"] == "2"
    assert "val/loss_best" in parent.data.tags["rnnexp.sweep.best"]
    by_rate = {run.data.params["optimizer.lr"]: run for run in children}
    assert len(by_rate) == 4
    for rate in ("0.01", "0.02"):
        assert by_rate[rate].info.status == "FINISHED"
        assert "rnnexp.pruned" not in by_rate[rate].data.tags
    for rate in ("1e-07", "1e-06"):
        assert by_rate[rate].info.status == "KILLED"
        assert by_rate[rate].data.tags["rnnexp.pruned"] == "true"
        assert "pruned at step" in by_rate[rate].data.tags["rnnexp.error"]
        assert "test/loss" not in by_rate[rate].data.metrics
    client = MlflowClient(store_uri)
    pictures = {f.path for f in client.list_artifacts(parent.info.run_id, "search")}
    assert pictures >= {f"search/{name}.png" for name in ("history", "parallel", "importances")}
    assert "search.json" in {f.path for f in client.list_artifacts(parent.info.run_id)}
    assert rnnexp_here(["sweep", "status", "mine"]) == 0
    assert "mine: 2 done, 2 pruned" in capsys.readouterr().out
    assert rnnexp_here(["sweep", "plan", *LONG, *words, "optimizer.lr=0.01,0.02,1e-7,1e-6,1"]) == 0
    planned = capsys.readouterr().out
    assert "a search of 5 trials by grid, pruned by median, to minimize val/loss_best" in planned
    assert "1 job left, about" in planned


def test_a_killed_search_goes_on(rnnexp, start_copy, workdir: Path, store_uri: str) -> None:
    words = [*LONG, "optimizer.lr=0.01,0.02,0.03,0.04", "hydra.sweeper.sampler=grid"]
    driver = start_copy("-m", "rnnexp", "train", "-m", *words, cwd=workdir)
    assert comes_true(
        lambda: (
            list(mine(workdir).glob("*/COMPLETE"))
            and len(list(mine(workdir).glob("*/checkpoints/last.ckpt"))) >= 3
        )
    )
    driver.kill()
    driver.wait(60)
    complete = {f.parent.name: f.stat().st_mtime_ns for f in mine(workdir).glob("*/COMPLETE")}
    assert len(complete) < 4
    done = rnnexp("train", "-m", *words, timeout=120)
    assert done.code == 0, done.err
    assert states(mine(workdir)) == {"COMPLETE": 4}, "no trial is suggested twice"
    after = {f.parent.name: f.stat().st_mtime_ns for f in mine(workdir).glob("*/COMPLETE")}
    assert len(after) == 4
    assert complete.items() <= after.items(), "what was done is not done again"
    logs = [(f / "journal.jsonl").read_text() for f in mine(workdir).iterdir() if f.is_dir()]
    assert any('"continues": true' in log for log in logs), "what was interrupted goes on"
    _, children = family_in(store_uri)
    assert {run.info.status for run in children} == {"FINISHED"}
    assert len(children) == 4
    for run in children:
        steps = [step for step, _ in points(store_uri, run)["train/loss"]]
        assert steps == list(range(1, 301)), "every step once"


@pytest.mark.slow
def test_several_objectives_of_runs(rnnexp, workdir: Path, store_uri: str) -> None:
    words = ["optimizer.lr=0.01,0.1", "cell.hidden_size=4,8", "hydra.sweeper.sampler=grid"]
    words += ["hydra.sweeper.objectives=[val/loss,grad/clipped_fraction]"]
    words += ["hydra.sweeper.directions=[minimize,maximize]"]
    done = rnnexp("train", "-m", *[w for w in SMALL if "hidden" not in w], *words)
    assert done.code == 0, done.err
    assert_unbeaten(mine(workdir))
    assert (mine(workdir) / "history_val_loss.png").is_file()


def assert_unbeaten(folder: Path) -> None:
    found = study(folder)
    values = {t["number"]: t["values"] for t in found["trials"]}
    beaten = {
        n
        for n, (small, large) in values.items()
        for other in values.values()
        if other != [small, large] and other[0] <= small and other[1] >= large
    }
    assert len(values) == 4
    assert sorted(found["best"]) == sorted(values.keys() - beaten)
    assert (folder / "pareto.png").stat().st_size > 10_000


def test_several_objectives(copied, workdir: Path) -> None:
    # x * (4 - x) is 3, 4, 3, 0: the first two are beaten by none.
    returned = "return {'size': config.x, 'height': config.x * (4 - config.x)}"
    program = PROGRAM.replace("return config.x", returned).replace("config.x == 1 and", "False and")
    (workdir / "program.py").write_text(program)
    words = ["-m", "hydra/sweeper=optuna", "hydra/launcher=local", "+x=1,2,3,4"]
    words += ["hydra.sweep.dir=out", "hydra.launcher.jobs=2", "hydra.sweeper.sampler=grid"]
    words += ["hydra.sweeper.objectives=[size,height]"]
    words += ["hydra.sweeper.directions=[minimize,maximize]"]
    done = copied("program.py", *words, cwd=workdir, TIMES=str(workdir / "times"))
    assert done.code == 0, done.err
    assert_unbeaten(workdir / "out")
    assert study(workdir / "out")["best"] == [0, 1]


def test_an_objective_that_no_trial_has(copied, workdir: Path) -> None:
    named = PROGRAM.replace("return config.x", "return {'loss': config.x, 'size': -config.x}")
    (workdir / "program.py").write_text(named)
    words = ["-m", "hydra/sweeper=optuna", "hydra/launcher=local", "+x=2,3", "hydra.sweep.dir=out"]
    times = str(workdir / "times")
    wrong = copied("program.py", *words, "hydra.sweeper.objectives=[los]", cwd=workdir, TIMES=times)
    assert wrong.code == 1
    assert "without a figure 'los'. Did you mean 'loss'?" in wrong.err
    words += ["hydra.sweeper.objectives=[size]", "hydra.sweep.dir=right", "hydra.sweeper.trials=3"]
    right = copied("program.py", *words, cwd=workdir, TIMES=times)
    assert right.code == 0, right.err
    assert "size -3 | x=3" in right.out or "size -2 | x=2" in right.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimizer.lr=0.1"], "nothing to search"),
        (["optimizer.lr=interval(1e-3,1)", "hydra.sweeper.sampler=tp"], "Did you mean 'tpe'?"),
        (["optimizer.lr=interval(-1,1)"], "optimizer.lr: must be a finite number above 0"),
        (["optimizer.lr=0.1,0.2", "cell=gru,lstmm"], "Did you mean 'lstm'?"),
        (["optimizer.lr=0.1,0.2", "hydra/launcher=basic"], "Use hydra/launcher=local"),
        (["optimizer.lr=0.1,0.2", "hydra/launcher=submitit_slurm"], "as hydra.launcher.jobs=8"),
        (
            ["optimizer.lr=0.1,0.2", "hydra/launcher=submitit_local", "sweep.timeout=9"],
            "Use hydra.launcher.timeout_min",
        ),
    ],
)
def test_what_cannot_be_is_said_before_the_first_trial(
    words: list[str], said: str, workdir: Path, store_uri: str, registry, capsys
) -> None:
    kept = [w for w in SMALL if not w.startswith(("cell=", "hydra.launcher"))]
    for command in (["train"], ["sweep", "plan"]):
        assert rnnexp_here([*command, "-m", *kept, *words]) == 2
        assert said in capsys.readouterr().err
    assert not list(workdir.rglob("journal.jsonl"))
