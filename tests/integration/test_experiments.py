"""Every named study composes, and runs for two steps."""

import csv
from pathlib import Path

import pytest

from rnnexp.paths import conf_dir
from rnnexp.tracking.journal import read_all

FILES = {file.stem: file for file in (conf_dir() / "experiment").glob("*.yaml")}
SWEEPS = sorted(name for name, file in FILES.items() if "mode: MULTIRUN" in file.read_text())
SHORT = ["trainer.max_steps=2", "trainer.val_every=2", "tracking.wait=0"]
SMALL = "cell.hidden_size=8"
MORE = {"search": ["hydra.sweeper.trials=2"], "zoo": ["cell=elman,min_gru"]}
SIZED = ("cliff_surface",)
"""Studies of one unit, which are what they are by their size."""
LIKE_OTHERS = {"demo", "search", "cliff_surface", "copy_memory", "teacher_forcing"}
LIKE_OTHERS |= {"counting", "selective_copy", "temporal_order"}
"""Sweeps of which other tests, and `make demo`, run all but the values."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in LIKE_OTHERS else n for n in SWEEPS],
)
def test_a_sweep_runs_two_steps(rnnexp, workdir: Path, store_uri: str, name: str) -> None:
    more = [*MORE.get(name, []), *([] if name in SIZED else [SMALL])]
    done = rnnexp("train", f"experiment={name}", *SHORT, *more, timeout=150)
    assert done.code == 0, done.err
    assert _checkpoints(workdir)


def test_single_runs_make_two_steps_as_a_sweep_over_them(
    rnnexp, workdir: Path, store_uri: str
) -> None:
    names = sorted(FILES.keys() - set(SWEEPS))
    done = rnnexp("train", "-m", f"experiment={','.join(names)}", *SHORT, SMALL, timeout=250)
    assert done.code == 0, done.err
    assert len(_checkpoints(workdir)) == len(names) > 1


def _checkpoints(folder: Path) -> list[Path]:
    return [f for f in folder.rglob("checkpoints/last.ckpt") if f.stat().st_size]


def test_cliff_surface_shows_what_clipping_is_for(rnnexp, workdir: Path, store_uri: str) -> None:
    done = rnnexp("train", "experiment=cliff_surface", timeout=150)
    assert done.code == 0, done.err
    (picture,) = workdir.glob("outputs/*/*/cliff_surface.png")
    assert len(list(workdir.glob("outputs/mlflow/**/cliff_surface.png"))) == 1
    assert picture.read_bytes().startswith(b"\x89PNG")
    sent = [
        r["path"] for r in read_all(picture.parent / "journal.jsonl") if r["kind"] == "artifact"
    ]
    assert {Path(path).suffix for path in sent} == {".png", ".json", ".csv"}
    with picture.with_suffix(".csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    raw, clipped = ([row for row in rows if row["run"] == f"clip={by}"] for by in ("none", "norm"))
    assert len(raw) == len(clipped) == 121
    # Both come down to the same cliff; without clipping one step leads 1.9 away from it for good.
    assert max(float(row["gradient_norm"]) for row in raw) > 5
    assert max(float(row["b"]) for row in raw) > -0.7
    assert min(float(row["error"]) for row in raw[-30:]) > 0.08
    assert max(float(row["b"]) for row in clipped) == -1.5
    assert max(float(row["error"]) for row in clipped[-30:]) < 0.03
    assert min(float(row["error"]) for row in clipped[-30:]) < 1e-3
