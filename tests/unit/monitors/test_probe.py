"""The probe over a run: what it records, when, and of which weights and states."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers.logger import DummyLogger

from rnnexp.monitors.dynamics import Dynamics, dynamics
from rnnexp.monitors.probe import (
    DYNAMICS,
    DynamicsProbe,
    append_dynamics,
    is_due,
    means,
    pace_of,
)
from rnnexp.recurrence import Feed, InputTrace, RecurrentNetwork
from rnnexp.tasks.datamodule import TaskData
from rnnexp.tracking.journal import read_all
from rnnexp.training.module import Recipe, RecurrentModule

from ...quiet import QUIET


def load_dynamics(folder: Path) -> list[dict[str, Any]]:
    return list(read_all(folder / DYNAMICS))


class Log(DummyLogger):
    def __init__(self) -> None:
        super().__init__()
        self.points: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, metrics: Any, step: Any = None) -> None:
        if any(name.startswith("flow/") for name in metrics):
            self.points.append((step, dict(metrics)))


def train(
    plugins,
    folder: Path,
    every: int,
    steps: int,
    accumulate: int = 1,
    window: int | None = None,
    before: Sequence[Callback] = (),
    **options: Any,
) -> Any:
    torch.manual_seed(0)
    task = plugins.get("task", "copy_memory").cls(batch_size=4, length=12, copied=4)
    if options.get("readout") == "last":
        task = plugins.get("task", "adding").cls(batch_size=4, length=20)
    make_cell = plugins.get("cell", "lstm").cls
    network = RecurrentNetwork(
        lambda size: make_cell(size, hidden_size=6),
        task.input_size,
        task.output_size,
        layers=2,
        **options,
    )
    recipe = Recipe(lambda p: torch.optim.SGD(p, lr=1e-9))
    module = RecurrentModule(network, task, recipe, window)
    log = Log()
    trainer = Trainer(
        max_steps=steps,
        callbacks=[*before, DynamicsProbe(folder, every)],
        logger=log,
        accumulate_grad_batches=accumulate,
        limit_val_batches=0,
        **QUIET,
        default_root_dir=folder,
    )
    trainer.fit(module, TaskData(task, network.readout_at, window))
    return module, log


def test_every_so_many_steps_what_the_sequence_shows(plugins, tmp_path: Path) -> None:
    module, log = train(plugins, tmp_path, every=3, steps=7)
    assert [step for step, _ in log.points] == [1, 4, 7]
    records = load_dynamics(tmp_path)
    assert [record["step"] for record in records] == [1, 4, 7]
    # The learning rate is next to nothing: the weights are still those of the first step.
    x_TBI = module.task.batch("train", 6).inputs_TBI
    for i, cell in enumerate(module.network.layers):
        wanted = dynamics(cell, x_TBI, cell.initial_state((4,)), seed=6)
        found = records[-1]["layers"][f"layer{i}"]
        assert found["state_norm_T"] == pytest.approx(wanted.state_norm_T.tolist(), rel=1e-4)
        assert found["saturated_T"] == pytest.approx(wanted.saturated_T.tolist())
        assert found["log_growth_T"] == pytest.approx(wanted.log_growth_T.tolist(), abs=1e-4)
        assert found["cut_T"] == [0.0] * len(x_TBI)
        assert log.points[-1][1][f"flow/cut_layer{i}"] == 0
        assert log.points[-1][1][f"flow/log_growth_layer{i}"] == pytest.approx(
            float(wanted.log_growth_T.mean()), abs=1e-4
        )
        h, state = [], cell.initial_state((4,))
        for x_BI in x_TBI:
            h_BH, state = cell.step(x_BI, state)
            h.append(h_BH.detach())
        x_TBI = torch.stack(h)


def test_amid_an_accumulation_nothing_is_recorded(plugins, tmp_path: Path) -> None:
    _, log = train(plugins, tmp_path, every=1, steps=3, accumulate=2)
    assert [step for step, _ in log.points] == [1, 2, 3]


@pytest.mark.parametrize("accumulate", [1, 2, 3, 5])
@pytest.mark.parametrize(("windows", "every"), [(1, 20), (2, 20), (5, 20), (3, 7), (5, 2), (3, 2)])
def test_the_windows_of_a_sequence_are_looked_at_in_turn(
    windows: int, every: int, accumulate: int
) -> None:
    looks = list[tuple[int, int]]()
    steps = 200 * windows
    pace = pace_of(every, windows, accumulate)
    for number in range(steps * accumulate):
        done, index = number // accumulate, number % windows
        looked_at = looks[-1][0] if looks else -1
        if is_due(done, looked_at, pace, index, windows):
            looks.append((done, index))
    assert [index for _, index in looks] == [look % windows for look in range(len(looks))]
    assert [done // pace for done, _ in looks] == list(range(math.ceil(steps / pace)))


def test_a_step_of_several_windows_is_looked_at_once(
    plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def counted(cell: Any, inputs_TBI: torch.Tensor, *rest: Any) -> Dynamics:
        looks.append(len(inputs_TBI))
        return dynamics(cell, inputs_TBI, *rest)

    monkeypatch.setattr("rnnexp.monitors.probe.dynamics", counted)
    _, log = train(plugins, tmp_path, every=2, steps=6, accumulate=3, window=8)
    sizes = [8, 8, 4]  # of the windows of 20 steps, of which each step has all
    assert looks[::2] == looks[1::2] == sizes, "of two layers"
    assert [step for step, _ in log.points] == [1, 3, 5]
    lines = load_dynamics(tmp_path)
    assert [line["begin"] for line in lines] == [0, 8, 16]
    found = [line["layers"]["layer0"] for line in lines]
    assert [len(layer["state_norm_T"]) for layer in found] == sizes


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_parts_of_a_long_batch_are_looked_at_in_turn(
    plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bidirectional: bool
) -> None:
    options: dict[str, Any] = {"every": 1, "steps": 3, "bidirectional": bidirectional}
    monkeypatch.setattr("rnnexp.tasks.contract.batch_seed", lambda *which: 0)  # one batch for all
    train(plugins, tmp_path, **options)
    whole = load_dynamics(tmp_path)[0]["layers"]
    monkeypatch.setattr("rnnexp.monitors.probe._STEPS", 8)
    train(plugins, tmp_path, **options)
    lines = load_dynamics(tmp_path)
    assert [line["begin"] for line in lines] == [0, 8, 16]
    assert len(whole) == (4 if bidirectional else 2)
    for name, layer in whole.items():
        for key in ("state_norm_T", "saturated_T"):
            parts = [value for line in lines for value in line["layers"][name][key]]
            assert parts == pytest.approx(layer[key], rel=1e-4)


def test_the_one_window_with_a_target_begins_where_it_does(plugins, tmp_path: Path) -> None:
    train(plugins, tmp_path, every=1, steps=1, window=8, readout="last")
    (line,) = load_dynamics(tmp_path)
    assert (line["begin"], len(line["layers"]["layer0"]["state_norm_T"])) == (16, 4)


class Snapshot(Callback):
    """Keeps what a checkpoint in the middle of the second step would hold."""

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int):
        if batch_idx == 3:
            probe = next(c for c in trainer.callbacks if isinstance(c, DynamicsProbe))
            self.kept = copy.deepcopy(probe.state_dict())


def test_what_a_step_has_shown_survives_a_stop_before_it_is_done(plugins, tmp_path: Path) -> None:
    snapshot, again = Snapshot(), DynamicsProbe(tmp_path / "again", 1)
    train(plugins, tmp_path, every=1, steps=3, accumulate=2, before=[snapshot])
    again.load_state_dict(snapshot.kept)
    again.folder.mkdir()
    done: Any = SimpleNamespace(global_step=2, is_global_zero=True, logger=None)
    again.on_train_batch_end(done, None, None, None, 3)  # type: ignore[arg-type]
    assert load_dynamics(again.folder) == load_dynamics(tmp_path)[1:2] != []


@pytest.mark.parametrize("mode", ["teacher", "free"])
def test_inputs_are_kept_in_the_order_of_time(plugins, mode: Any) -> None:
    torch.manual_seed(0)
    make_cell = plugins.get("cell", "gru").cls
    network = RecurrentNetwork(lambda size: make_cell(size, hidden_size=3), 2, 2, feedback=True)
    x, targets, trace = torch.randn(5, 4, 2), torch.randn(5, 4, 2), InputTrace()
    outputs, last = network(x, None, targets_TBO=targets, feed=Feed(mode), traces=[trace])
    driven = trace.driven()
    assert driven is not None
    inputs_TBI, state = driven
    assert torch.equal(inputs_TBI[..., :2], x)
    fed = targets if mode == "teacher" else outputs.detach()
    torch.testing.assert_close(inputs_TBI[1:, :, 2:], fed[:-1])
    for x_BI in inputs_TBI:
        _, state = network.layers[0].step(x_BI, state)
    torch.testing.assert_close(state[0], last.layers[0][0])


def test_later_lines_and_torn_ones_are_forgotten_by_a_run_that_goes_on(
    plugins, tmp_path: Path
) -> None:
    cell = plugins.get("cell", "jordan").cls(2, hidden_size=3)
    seen = {"layer0": dynamics(cell, torch.randn(3, 2, 2), ())}
    assert set(means(seen)) == {"flow/state_norm", "flow/saturated"}
    append_dynamics(tmp_path, 5, seen)
    with (tmp_path / "dynamics.jsonl").open("a") as file:
        file.write('{"step": 9, "lay')
    train(plugins, tmp_path, every=2, steps=3)
    assert [record["step"] for record in load_dynamics(tmp_path)] == [1, 3]
    append_dynamics(tmp_path, 5, seen)
    (layer,) = load_dynamics(tmp_path)[-1]["layers"].values()
    assert layer["log_growth_T"] == layer["cut_T"] == [None] * 3
    assert all(math.isfinite(v) for v in layer["state_norm_T"])
