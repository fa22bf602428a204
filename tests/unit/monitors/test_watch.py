"""The watch over a run: cliffs are found, located in time and kept; the flow is recorded."""

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers.logger import DummyLogger
from pytorch_lightning.plugins import Precision
from torch import Tensor

from rnnexp.errors import NonFiniteError
from rnnexp.monitors.events import load_events
from rnnexp.monitors.located import _peak, _shown
from rnnexp.monitors.passes import Flow
from rnnexp.monitors.watch import CliffWatch
from rnnexp.recurrence import RecurrentNetwork
from rnnexp.training.module import Recipe, RecurrentModule

from .watched import CLIFF, Log, train, watch_of


def test_the_flow_is_that_of_the_window_with_the_target(plugins, tmp_path: Path) -> None:
    log = Log()
    monitor, watch = watch_of(tmp_path, log, flow_every=1)
    train(plugins, tmp_path, [monitor, watch], steps=3, window=5)
    # Of a sequence's windows of 5, 5 and 2 steps the last alone has a target, hence a gradient.
    assert [step for step, _ in log.profiles] == [1, 2, 3]
    for _, found in log.profiles:
        assert [math.isnan(norm) for norm in found["layer0"]] == [True] * 10 + [False] * 2


def test_the_flow_is_of_one_sequence_where_the_windows_of_two_make_up_a_step(
    plugins, tmp_path: Path
) -> None:
    log = Log()
    task = plugins.get("task", "copy_memory").cls(length=8, copied=2, batch_size=3)
    train(
        plugins,
        tmp_path,
        watch_of(tmp_path, log, flow_every=1),
        steps=9,
        window=4,
        accumulate=2,
        task=task,
    )
    # Of 3 windows a sequence; a step has the last of one and the first of the next now and then.
    assert [step for step, _ in log.profiles] == [2, 5, 8]
    for _, found in log.profiles:
        assert len(found["layer0"]) == 12
        assert all(norm > 0 for norm in found["layer0"])


def test_the_one_cliff_is_found_located_and_kept(plugins, tmp_path: Path) -> None:
    log = Log()
    monitor, watch = watch_of(tmp_path, log, flow_every=7)
    module = train(plugins, tmp_path, [monitor, watch], steps=80)
    (event,) = load_events(tmp_path)
    assert (event.step, event.kind, watch.count) == (CLIFF, "spike", 1)
    assert event.ratio > 50
    assert event.loss_before > 100 * event.loss_after
    assert event.raw_norm == pytest.approx(watch.summary()["cliffs/largest"])
    assert watch.summary()["cliffs/largest_step"] == CLIFF
    # The only output is the last: what reaches h_T is larger than what reaches earlier steps.
    assert len(event.grad_norm_T) == 12
    assert event.time_step == 12
    assert event.lr == 1e-6
    batch = module.task.batch("train", CLIFF - 1)
    assert event.batch_seed == batch.seed != 0


def test_the_flow_is_what_autograd_says(plugins, tmp_path: Path) -> None:
    log = Log()
    module = train(plugins, tmp_path, watch_of(tmp_path, log, flow_every=4), steps=9)
    assert [step for step, _ in log.profiles] == [1, 5, 9]
    # The learning rate is next to nothing: the weights are still those of the first step.
    batch = module.task.batch("train", 8)
    cell, state = module.network.layers[0], module.network.layers[0].initial_state((8,))
    states: list[Tensor] = []
    for x_BI in batch.inputs_TBI:
        out_BH, state = cell.step(x_BI, state)
        states.append(out_BH)
    loss = module.task.loss(module.network.readout(states[-1]), batch.targets)
    norms = [float(g.norm()) for g in torch.autograd.grad(loss, states)]
    assert log.profiles[-1][1]["layer0"] == pytest.approx(norms, rel=1e-3)


class Flows(DummyLogger):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[float] = []

    def log_metrics(self, metrics: Any, step: Any = None) -> None:
        self.found += [value for name, value in metrics.items() if name.startswith("flow/")]


@pytest.mark.parametrize("cell", ["mc_lstm", "scrn", "intersection_rnn"])
def test_the_flow_of_a_memory_behind_the_output_arrives(plugins, tmp_path: Path, cell: str) -> None:
    # Of intersection_rnn no target reads the last state: its norm is 0.
    log, flows = Log(), Flows()
    callbacks = watch_of(tmp_path, log, flow_every=1)
    train(plugins, tmp_path, callbacks, steps=2, cell=cell, logger=flows)
    assert all(found["layer0"][0] > 0 for _, found in log.profiles)
    assert len(flows.found) == 4, "vanishing_log10 and half_life, of two steps"
    assert all(math.isfinite(value) for value in flows.found)
    assert min(flows.found) > -6


def test_a_cliff_is_located_where_no_flow_is_asked_for(plugins, tmp_path: Path) -> None:
    log = Log()
    train(plugins, tmp_path, watch_of(tmp_path, log, flow_every=None), steps=80)
    (event,) = load_events(tmp_path)
    assert event.time_step == 12
    assert log.profiles == []


class Peaks(DummyLogger):
    def __init__(self) -> None:
        super().__init__()
        self.raw: list[float] = []
        self.found: list[tuple[int, float]] = []

    def log_metrics(self, metrics: Any, step: Any = None) -> None:
        self.raw += [metrics[key] for key in metrics if key == "grad/raw_norm"]
        self.found += [(step, metrics[key]) for key in metrics if key == "grad/raw_norm_max"]


@pytest.mark.parametrize("ends", ["trained", "failed"])
def test_the_peak_of_the_last_steps_is_logged(plugins, tmp_path: Path, ends: str) -> None:
    peaks = Peaks()
    callbacks = watch_of(tmp_path, Log(), window=25)
    if ends == "trained":
        train(plugins, tmp_path, callbacks, steps=CLIFF + 2, logger=peaks)
    else:
        with pytest.raises(NonFiniteError):
            train(plugins, tmp_path, callbacks, steps=80, logger=peaks, factor=math.nan)
    last = CLIFF + 2 if ends == "trained" else CLIFF - 1
    raw = peaks.raw
    assert peaks.found == [(25, max(raw[:25])), (50, max(raw[25:50])), (last, max(raw[50:]))]


def test_a_run_that_ends_with_a_window_logs_its_peak_once(plugins, tmp_path: Path) -> None:
    peaks = Peaks()
    train(plugins, tmp_path, watch_of(tmp_path, Log(), window=5), steps=10, logger=peaks)
    assert [step for step, _ in peaks.found] == [5, 10]


def test_of_layers_whose_gradient_is_not_finite_the_upper_one_is_shown() -> None:
    lost, whole = [math.nan, 1.0], [2.0, math.inf]
    norms = {"layer0": lost, "layer1": whole, "layer1_reverse": lost, "layer2": [9.0, 9.0]}
    assert _shown(Flow(0, 0, 0, norms), "") == "layer1"
    assert _shown(Flow(0, 0, 0, norms), "layer0") == "layer0"
    assert _shown(None, "layer0") == ""


@pytest.mark.parametrize(
    ("cell", "profile", "step"),
    [
        ("layer0", [1.0, 5.0, 2.0], 2),
        ("layer0_reverse", [1.0, 5.0, 2.0], 2),
        ("layer0", [math.nan, 1.0, math.inf, 1.0], 3),
        ("layer0_reverse", [math.nan, 1.0, math.inf, 1.0], 1),
    ],
)
def test_of_norms_that_are_not_finite_the_first_that_the_pass_met(
    cell: str, profile: list[float], step: int
) -> None:
    assert _peak(profile, cell) == step


def test_what_was_learned_survives_a_resume(plugins, tmp_path: Path) -> None:
    monitor, watch = watch_of(tmp_path, Log())
    train(plugins, tmp_path, [monitor, watch], steps=80)
    _, again = watch_of(tmp_path, Log())
    again.load_state_dict(watch.state_dict())
    assert again.summary() == watch.summary()
    assert again.state_dict() == watch.state_dict()
    norm = 100 * watch.detector.at(0).median
    assert again.detector.observe(81, norm) == watch.detector.observe(81, norm)


@dataclass
class Stopped:
    """What the watch asks of a trainer that goes on."""

    global_step: int
    precision_plugin: Precision = field(default_factory=Precision)


def module_of(plugins) -> RecurrentModule:
    task = plugins.get("task", "adding").cls(length=12, batch_size=8)
    make_cell = plugins.get("cell", "elman").cls
    network = RecurrentNetwork(lambda size: make_cell(size, hidden_size=6), 2, 1, readout="last")
    return RecurrentModule(network, task, Recipe(lambda p: torch.optim.SGD(p, lr=1e-6)))


class Snapshot(Callback):
    """Keeps what a checkpoint taken right after the cliff would hold."""

    def __init__(self, watch: CliffWatch) -> None:
        self.watch, self.kept = watch, {}

    def on_train_batch_start(self, trainer: Trainer, *args, **kwargs) -> None:
        if trainer.global_step == CLIFF:
            self.kept = self.watch.state_dict()


def test_a_checkpoint_between_a_cliff_and_the_next_step_keeps_the_cliff(
    plugins, tmp_path: Path
) -> None:
    monitor, watch = watch_of(tmp_path / "one", Log())
    (tmp_path / "one").mkdir()
    snapshot = Snapshot(watch)
    train(plugins, tmp_path / "one", [snapshot, monitor, watch], steps=80)
    monitor, again = watch_of(tmp_path, Log())
    again.load_state_dict(json.loads(json.dumps(snapshot.kept)))
    train(plugins, tmp_path, [monitor, again], steps=1)
    (told,), (resumed,) = load_events(tmp_path / "one"), load_events(tmp_path)
    assert replace(resumed, loss_after=told.loss_after) == told
    assert resumed.loss_after is not None


def test_a_cliff_right_before_a_stop_is_kept_once(plugins, tmp_path: Path) -> None:
    monitor, watch = watch_of(tmp_path, Log())
    snapshot = Snapshot(watch)
    train(plugins, tmp_path, [snapshot, monitor, watch], steps=CLIFF + 1)
    monitor, again = watch_of(tmp_path, Log())
    again.load_state_dict(snapshot.kept)
    again.on_train_start(Stopped(CLIFF), module_of(plugins))
    assert load_events(tmp_path) == [], "it waits for the loss after it"
    again._complete(0.5)
    (event,) = load_events(tmp_path)
    assert (event.step, event.loss_after) == (CLIFF, 0.5)


def test_a_cliff_that_is_met_again_is_kept_once(plugins, tmp_path: Path) -> None:
    for _ in range(2):  # the second as after a kill: the file is ahead of the checkpoint
        train(plugins, tmp_path, watch_of(tmp_path, Log()), steps=80)
    assert [event.step for event in load_events(tmp_path)] == [CLIFF]
