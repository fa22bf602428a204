"""A plugin folder brings cells, tasks, callbacks and presets of its own."""

import hashlib
import math
import sys
from pathlib import Path

import pytest
import torch

from rnnexp.tracking import load_run

CALLBACK = '''
from pytorch_lightning import Callback

from rnnexp.registry import register_callback


@register_callback("heartbeat")
class Heartbeat(Callback):
    """Log one number now and then.

    Args:
        every: steps between two.
    """

    def __init__(self, *, every: int = 1) -> None:
        self.every = every

    def on_train_batch_end(self, trainer, *args, **kwargs):
        if trainer.global_step % self.every == 0:
            trainer.logger.log_metrics({"heart/beat": 1.0}, step=trainer.global_step)
'''
PRESET = """\
# @package _global_
defaults:
  - override /task: adding
task:
  length: 7
  val_batches: 1
  test_batches: 1
cell:
  hidden_size: 5
callbacks:
  heartbeat:
    every: 3
trainer:
  max_steps: 9
  val_every: 9
tracking:
  wait: 0
"""


@pytest.fixture
def folder(workdir: Path) -> Path:
    place = workdir / "lab"
    (place / "conf" / "experiment").mkdir(parents=True)
    (place / "callbacks").mkdir()
    (place / "callbacks" / "heartbeat.py").write_text(CALLBACK)
    (place / "conf" / "experiment" / "ours.yaml").write_text(PRESET)
    return place


@pytest.mark.parametrize("by", ["environment", "override"])
def test_a_preset_and_a_callback_of_a_folder(
    rnnexp, folder: Path, workdir: Path, store_uri: str, by: str
) -> None:
    named = {"RNNEXP_PLUGINS": "lab"} if by == "environment" else {}
    words = ["plugin_dirs=[lab]"] if by == "override" else []
    done = rnnexp("train", "experiment=ours", "cell=gru", *words, **named)
    assert done.code == 0, done.err
    (journal,) = workdir.glob("outputs/*/*/journal.jsonl")
    assert [step for step, _ in load_run(journal.parent).metrics["heart/beat"]] == [3, 6, 9]
    assert load_run(journal.parent).params["task.length"] == "7"
    kept = {file.name for file in (journal.parent / "plugins").rglob("*.py")}
    assert kept == {"gru.py", "adding.py", "heartbeat.py"}
    again = rnnexp("train", "resume=latest", "trainer.max_steps=12", **named)
    assert again.code == 0, again.err
    assert [step for step, _ in load_run(journal.parent).metrics["heart/beat"]] == [3, 6, 9, 12]


EDITS = CALLBACK.replace(
    "            trainer.logger",
    '            Path("lab/callbacks/heartbeat.py").write_text("# edited while the sweep runs")\n'
    "            trainer.logger",
).replace("from pytorch", "from pathlib import Path\n\nfrom pytorch")


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_file_that_is_edited_while_its_sweep_runs_changes_no_job(
    rnnexp, folder: Path, workdir: Path, store_uri: str, start: str
) -> None:
    (folder / "callbacks" / "heartbeat.py").write_text(EDITS)
    words = ["experiment=ours", "cell=gru", "plugin_dirs=[lab]", "seed=0,1"]
    words += ["hydra.launcher.jobs=1", f"hydra.launcher.start={start}"]
    done = rnnexp("train", "-m", *words)
    assert done.code == 0, done.err
    assert (folder / "callbacks" / "heartbeat.py").read_text() != EDITS
    jobs = list(workdir.glob("outputs/sweeps/*/*/COMPLETE"))
    assert len(jobs) == 2
    for job in (file.parent for file in jobs):
        run = load_run(job)
        assert [step for step, _ in run.metrics["heart/beat"]] == [3, 6, 9]
        assert (job / "plugins" / "callbacks" / "heartbeat.py").read_text() == EDITS
        digest = hashlib.sha256(EDITS.encode()).hexdigest()
        assert run.tags["rnnexp.source.callback.heartbeat"] == digest


def test_a_preset_is_swept_and_shown(rnnexp, folder: Path, workdir: Path, store_uri: str) -> None:
    odd = str(folder.rename(workdir / "lab (v2), ä"))  # Hydra reads such a path in quotes only
    shown = rnnexp("train", "experiment=ours", "--cfg", "job", RNNEXP_PLUGINS=odd)
    assert "length: 7" in shown.out, shown.err
    swept = rnnexp(
        "train", "-m", "experiment=ours", "cell=elman,gru", RNNEXP_PLUGINS=odd, timeout=120
    )
    assert swept.code == 0, swept.err
    assert len(list(workdir.glob("outputs/sweeps/*/*/COMPLETE"))) == 2


def test_the_spectral_radius_of_a_known_matrix(plugins) -> None:
    module = sys.modules[plugins.get("callback", "spectral_radius").cls.__module__]
    elman = plugins.get("cell", "elman").cls(2, hidden_size=2)
    with torch.no_grad():
        elman.weight_hh.copy_(torch.tensor([[0.6, -0.8], [0.8, 0.6]]) * 1.5)
    network = type("Net", (), {"layers": [elman], "directions": 1})()
    assert module.radii(network)["flow/spectral_radius"] == pytest.approx(1.5)
    assert math.isfinite(module.radii(network)["flow/spectral_radius"])
