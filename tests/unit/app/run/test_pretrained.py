"""A network that begins with the weights of another run, and with nothing else of it."""

from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rnnexp.app.config.build import build_module
from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.config.identity import job_key
from rnnexp.app.config.pretrained import begin_with, begins_anew, check_pretrained
from rnnexp.app.run.changes import begun_anew
from rnnexp.app.run.rebuild import rebuild
from rnnexp.app.run.run import run
from rnnexp.errors import ConfigError
from rnnexp.recurrence import RecurrentNetwork
from rnnexp.registry import REGISTRY
from rnnexp.tracking import Journals, load_run
from rnnexp.training.interrupt import StopRequest

WORDS = ["task=copy_memory", "task.length=5", "task.copied=3", "cell=elman", "cell.hidden_size=4"]
WORDS += ["task.val_batches=1", "task.test_batches=1", "task.batch_size=8", "tracking.wait=0"]
WORDS += ["trainer.progress=none", "monitor.pictures=never", "flush_denormal=false"]


def planned(*words: str):
    prepare([])
    return check_jobs([*WORDS, *words], multirun=False, config_dir=None)[0].plan


def trained(folder: Path, *words: str) -> Path:
    journals = Journals("sqlite:///no.db", None)
    outcome = run(planned(*words), folder, journals, StopRequest(), tags={})
    assert outcome.status == "FINISHED", outcome.error
    return folder


@pytest.fixture
def earlier(workdir: Path) -> Path:
    return trained(workdir / "outputs" / "earlier", "trainer.max_steps=3", "trainer.val_every=3")


def weights_in(folder: Path) -> dict[str, Tensor]:
    return torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]


def test_all_of_the_same_size_is_taken(earlier: Path) -> None:
    for named in (earlier, earlier / "checkpoints" / "best.ckpt", "latest"):
        plan = planned(f"model.init_from={named}", "seed=3", "trainer.precision=64-true")
        made = build_module(plan).state_dict()
        assert made.keys() == weights_in(earlier).keys()
        for name, tensor in weights_in(earlier).items():
            torch.testing.assert_close(made[name], tensor.double(), rtol=0, atol=0)
        assert begun_anew([plan]) == []


def test_a_readout_of_another_size_begins_anew(earlier: Path) -> None:
    cell, inputs = REGISTRY.get("cell", "elman").cls, 10
    network = RecurrentNetwork(partial(cell, hidden_size=4), inputs, output_size=2)
    before, file = deepcopy(network.state_dict()), earlier / "checkpoints" / "best.ckpt"
    check_pretrained(network, file)
    assert "readout.weight (9x4 there, 2x4 here)" in begins_anew(network, file)
    begin_with(network, file)
    for name, tensor in network.state_dict().items():
        own = name.startswith("readout.")
        assert torch.equal(tensor, before[name] if own else weights_in(earlier)[f"network.{name}"])


def test_optimizer_and_steps_begin_anew_and_a_step_is_made_again(earlier: Path) -> None:
    words = [f"model.init_from={earlier}", "optimizer=sgd", "optimizer.lr=0.5", "seed=3"]
    tuned = trained(earlier.parent / "tuned", *words, "trainer.max_steps=2", "trainer.val_every=2")
    losses = dict(load_run(tuned).metrics["train/loss"])
    assert list(losses) == [1, 2]
    assert [rebuild(tuned, step).loss for step in (1, 2)] == list(losses.values())


def test_the_weights_are_part_of_the_job_and_not_where_they_lie(earlier: Path) -> None:
    file, copy = earlier / "checkpoints" / "best.ckpt", earlier.parent / "copy.ckpt"
    copy.write_bytes(file.read_bytes())
    keys = [job_key(planned(f"model.init_from={f}").values) for f in (file, copy)]
    assert keys[0] == keys[1] != job_key(planned().values)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["model.init_from=nonsense"], "nonsense: no such file or folder, and no run of this id"),
        (["model.init_from="], "no such file or folder"),
        (["model.init_from=empty"], "there is no checkpoint in empty"),
        (["model.init_from=text"], "text is gone, damaged or no checkpoint"),
        (
            ["model.init_from=outputs/earlier", "cell=lstm"],
            "cells.0.bias_ih is 4 there, and 16 here",
        ),
        (["model.init_from=outputs/earlier", "model.layers=2"], "cells.1.bias_ih is missing there"),
    ],
)
def test_what_cannot_be_begun_with_is_refused(earlier: Path, words: list[str], told: str) -> None:
    Path("empty").mkdir()
    Path("text").write_text("weights")
    with pytest.raises(ConfigError, match=told):
        planned(*words)
