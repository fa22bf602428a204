import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rnnexp.app.config.build import build_module
from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.errors import ConfigError
from rnnexp.recurrence import RecurrentNetwork
from rnnexp.registry import Registry
from rnnexp.tasks import IGNORED
from rnnexp.training.ridge import Ridge, fit_readout

H = 12


def _network(plugins: Registry, task, **options: object) -> RecurrentNetwork:
    torch.manual_seed(0)
    return RecurrentNetwork(
        lambda size: plugins.get("cell", "echo_state").cls(size, hidden_size=H),
        task.input_size,
        task.output_size,
        readout=task.patterns[0],
        **options,
    )


def _task(plugins: Registry, name: str, **options: object):
    return plugins.get("task", name).cls(0, **options)


def _seen(network: RecurrentNetwork, inputs: Tensor) -> np.ndarray:
    network.readout, readout = torch.nn.Identity(), network.readout
    hidden = network(inputs)[0].detach().double().numpy()
    network.readout = readout
    return hidden.reshape(-1, hidden.shape[-1])


def _by_hand(hidden: np.ndarray, wanted: np.ndarray, strength: float) -> np.ndarray:
    """Ridge as least squares over more rows, with centred data: a second way to the same."""
    centre_h, centre_y = hidden.mean(0), wanted.mean(0)
    more = np.sqrt(strength * len(hidden)) * np.eye(hidden.shape[1])
    left = np.concatenate([hidden - centre_h, more])
    right = np.concatenate([wanted - centre_y, np.zeros((len(more), wanted.shape[1]))])
    matrix = np.linalg.lstsq(left, right, rcond=None)[0]
    return np.concatenate([matrix, (centre_y - centre_h @ matrix)[None]])


@pytest.mark.parametrize(("name", "options"), [("adding", {"length": 10}), ("digits", {})])
def test_is_the_ridge_solution(plugins: Registry, name: str, options: dict[str, object]) -> None:
    task = _task(plugins, name, **options)
    network = _network(plugins, task)
    batches = [task.batch("train", k) for k in range(5)]
    hidden = np.concatenate([_seen(network, batch.inputs_TBI) for batch in batches])
    targets = torch.cat([batch.targets.flatten() for batch in batches]).numpy()
    wanted = targets[:, None] if name == "adding" else np.eye(10)[targets]
    fit_readout(network, task, Ridge(strength=1e-3, batches=5))
    found = torch.cat([network.readout.weight.mT, network.readout.bias[None]]).detach().numpy()
    np.testing.assert_allclose(found, _by_hand(hidden, wanted, 1e-3), rtol=0, atol=1e-4)


def test_no_small_change_is_better(plugins: Registry) -> None:
    task = _task(plugins, "adding", length=10)
    network, batch = _network(plugins, task), task.batch("train", 0)
    fit_readout(network, task, Ridge(strength=0.0, batches=1))
    loss = task.loss(network(batch.inputs_TBI)[0], batch.targets)
    grads = torch.autograd.grad(loss, list(network.readout.parameters()))
    assert max(grad.abs().max().item() for grad in grads) < 1e-5


def test_is_fitted_in_the_precision_of_the_run(workdir: Path) -> None:
    words = ["task=adding", "task.length=10", "cell=echo_state", f"cell.hidden_size={H}"]
    words += ["model.readout_fit=ridge", "model.ridge_batches=1", "model.ridge_strength=0"]
    words += ["trainer.precision=64-true"]
    prepare([])
    module = build_module(check_jobs(words, multirun=False, config_dir=None)[0].plan)
    network, batch = module.network, module.task.batch("train", 0)
    loss = module.task.loss(network(batch.inputs_TBI.double())[0], batch.targets.double())
    grads = torch.autograd.grad(loss, list(network.readout.parameters()))
    assert max(grad.abs().max().item() for grad in grads) < 1e-10


def test_draws_nothing_and_changes_the_readout_alone(plugins: Registry) -> None:
    task = _task(plugins, "copy_memory")
    network = _network(plugins, task, dropout=0.5, layers=2)
    before = {name: p.clone() for name, p in network.named_parameters()}
    rng, results = torch.get_rng_state(), []
    for _ in range(2):
        fit_readout(network, task, Ridge(batches=2))
        results.append(network.readout.weight.clone())
    assert torch.equal(torch.get_rng_state(), rng)
    assert torch.equal(*results)
    assert network.training
    changed = {n for n, p in network.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {"readout.weight", "readout.bias"}


def test_feeds_the_targets_back_where_the_network_does(plugins: Registry) -> None:
    task = _task(plugins, "copy_memory")
    network = _network(plugins, task, feedback=True)
    fit_readout(network, task, Ridge(batches=2))
    assert network.readout.weight.isfinite().all()
    assert network.layers[0].input_size == task.input_size + task.output_size


@pytest.mark.parametrize(("strength", "batches"), [(-1.0, 5), (math.nan, 5), (0.0, 0)])
def test_impossible_settings_are_refused(strength: float, batches: int) -> None:
    with pytest.raises(ConfigError, match=r"model\.ridge_strength, model\.ridge_batches: .*got"):
        Ridge(strength, batches)


def test_a_readout_without_a_matrix_is_refused(plugins: Registry) -> None:
    task = _task(plugins, "adding", length=10)
    network = RecurrentNetwork(
        lambda size: plugins.get("cell", "echo_state").cls(size, hidden_size=1),
        task.input_size,
        1,
        head="identity",
    )
    with pytest.raises(ConfigError, match=r"use model\.head=linear"):
        fit_readout(network, task, Ridge())


@pytest.mark.parametrize(
    ("name", "nothing", "options"),
    [("digits", IGNORED, {}), ("adding", math.nan, {"length": 10})],
    ids=["padding", "missing"],
)
def test_what_is_not_judged_is_left_out_of_the_fit(
    plugins: Registry,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    nothing: float,
    options: dict[str, object],
) -> None:
    task = _task(plugins, name, **options)
    whole = task.batch("train", 0)
    padded = replace(whole, targets=whole.targets.clone())
    padded.targets[5:] = nothing
    fewer = replace(whole, inputs_TBI=whole.inputs_TBI[:, :5], targets=whole.targets[:5])
    weights = []
    for batch in (padded, fewer):
        monkeypatch.setattr(task, "batch", lambda split, index, batch=batch: batch)
        network = _network(plugins, task)
        fit_readout(network, task, Ridge(strength=1e-3, batches=1))
        weights.append(network.readout.weight.detach())
    torch.testing.assert_close(*weights)
