"""What a task or callbacks train beside the network, or make of it: resumed, loaded, replayed."""

import re
from pathlib import Path

import pytest
import torch

from rnnexp import load_network
from rnnexp.app.commands.landscape import slice_of
from rnnexp.app.config.compose import check_jobs
from rnnexp.app.run.going_on import check_resumes
from rnnexp.app.run.rebuild import rebuild
from rnnexp.errors import ConfigError
from rnnexp.monitors.groups import GroupNorms
from rnnexp.registry import Registry
from rnnexp.tracking import load_run

from .test_load import WORDS, train

TASK = '''
import torch
from torch import nn
from rnnexp.tasks import GeneratedTask, register_task


@register_task("weighed")
class Weighed(GeneratedTask, nn.Module):
    """The mean of a sequence, whose noise is learned as well."""

    patterns = ("last",)
    input_size = output_size = 1

    def __init__(self, seed=0, **options):
        nn.Module.__init__(self)
        GeneratedTask.__init__(self, seed, **options)
        self.log_sigma = nn.Parameter(torch.ones(()))

    def generate(self, rng):
        x = torch.randn(self.length, self.batch_size, 1, generator=rng)
        return x, x.mean(0)

    def loss(self, outputs, targets):
        error = (outputs - targets).square().mean()
        return error * torch.exp(-2 * self.log_sigma) + self.log_sigma
'''
CALLBACKS = '''
import torch
from pytorch_lightning import Callback
from torch.nn.utils import parametrizations, parametrize
from rnnexp.registry import register_callback


@register_callback("bounded")
class Bounded(Callback):
    """Bounds the norm of R."""

    def setup(self, trainer, pl_module, stage):
        for cell in pl_module.network.layers:
            if not parametrize.is_parametrized(cell):
                parametrizations.spectral_norm(cell, "weight_hh")


@register_callback("own_start")
class OwnStart(Callback):
    """Begins with weights of its own."""

    def on_fit_start(self, trainer, pl_module):
        if trainer.ckpt_path is None:
            torch.nn.init.constant_(pl_module.network.readout.weight, 0.3)


@register_callback("pull")
class Pull(Callback):
    """Pulls at the weights, twice."""

    def on_after_backward(self, trainer, pl_module):
        pl_module.network.readout.weight.grad += 3.0

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        pl_module.network.readout.bias.grad += 4.0 + 0.5 * trainer.global_step
'''


@pytest.fixture
def weighed(workdir: Path, registry: Registry) -> Path:
    """A run of such a task with all of them."""
    for folder, text in (("tasks", TASK), ("callbacks", CALLBACKS)):
        file = workdir / "mine" / folder / "own.py"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    words = ["task=weighed", "cell=elman", "plugin_dirs=[mine]", "+callbacks.bounded={}"]
    return train(*words, "+callbacks.own_start={}", "+callbacks.pull={}")


def test_it_is_resumed_loaded_and_replayed(weighed: Path) -> None:
    network = load_network(weighed)
    kept = torch.load(weighed / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert "task.log_sigma" in kept
    name = "cells.0.parametrizations.weight_hh.original"
    assert torch.equal(network.state_dict()[name], kept[f"network.{name}"])

    resume = f"resume={weighed / 'checkpoints' / 'last.ckpt'}"
    words = [*WORDS, "task=weighed", "cell=elman", "plugin_dirs=[mine]", resume]
    callbacks = [f"+callbacks.{name}={{}}" for name in ("bounded", "own_start", "pull")]
    (job,) = check_jobs([*words, *callbacks], multirun=False, config_dir=None)
    check_resumes([job.plan], multirun=False)
    (plain,) = check_jobs(words, multirun=False, config_dir=None)
    with pytest.raises(ConfigError, match=r"parametrizations\S* is \S+ there, and missing here"):
        check_resumes([plain.plan], multirun=False)

    norms = dict(load_run(weighed).metrics["grad/raw_norm"])
    for step in (1, 6):
        made = rebuild(weighed, step)
        groups = GroupNorms(made.module).measure()
        assert {"task", "readout", "layer0.recurrent"} <= groups.keys()
        assert GroupNorms(made.module).total() == pytest.approx(norms[step], rel=1e-6)
    assert slice_of(made, 6).losses


def test_the_snippet_on_what_is_trained_works_as_written(workdir: Path, registry: Registry) -> None:
    page = Path(__file__).parents[4] / "docs" / "extending.md"
    (source,) = re.findall(r"```py\n(.*?)```", page.read_text(), re.S)
    file = workdir / "mine" / "callbacks" / "own_start.py"
    file.parent.mkdir(parents=True)
    file.write_text(source)
    words = ["cell=elman", "plugin_dirs=[mine]", "+callbacks.own_start={}", "scheduler=cosine"]
    words += ["optimizer=adamw", "optimizer.weight_decay=0.1"]
    last = train(*words) / "checkpoints" / "last.ckpt"
    longer = train(*words, "trainer.max_steps=8", f"resume={last}", name="longer")
    before, after = (
        torch.load(file, weights_only=True) for file in (last, longer / "checkpoints" / "last.ckpt")
    )
    groups = after["optimizer_states"][0]["param_groups"]
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert [len(group["params"]) for group in groups] == [2, 2]  # R and V; b and c
    frozen, trained = (f"network.cells.0.weight_{kind}" for kind in ("ih", "hh"))
    weights, later = before["state_dict"], after["state_dict"]
    assert torch.equal(weights[frozen], later[frozen])
    assert weights[trained].norm() < 1
    assert 0 < (weights[trained] - later[trained]).norm() < 0.1
