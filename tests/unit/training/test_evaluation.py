"""What an evaluation makes of its batches: means, their weights, and the names of figures."""

import math
import weakref
from functools import partial
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from torch import Tensor

from rnnexp.errors import PluginError
from rnnexp.recurrence import RecurrentNetwork
from rnnexp.registry import Registry
from rnnexp.tasks import IGNORED, Batch, GeneratedTask, Task, accuracy, cross_entropy
from rnnexp.tasks.datamodule import TaskData
from rnnexp.training.module import Recipe, RecurrentModule

from ...quiet import QUIET

SGD = Recipe(partial(torch.optim.SGD, lr=0.1))


class Padded(GeneratedTask):
    """Classes, of which each batch judges another number of steps, down to none."""

    judged = (40, 3, 0)

    @property
    def input_size(self) -> int:
        return 2

    @property
    def output_size(self) -> int:
        return 3

    def generate(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        raise AssertionError

    def batch(self, split, index):
        rng = torch.Generator().manual_seed(index)
        inputs_TBI = torch.rand(self.length, self.batch_size, 2, generator=rng)
        targets = torch.randint(3, (self.length * self.batch_size,), generator=rng)
        targets[self.judged[index] :] = IGNORED
        return Batch(inputs_TBI, targets.view(self.length, self.batch_size))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(outputs, targets)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        judged = targets != IGNORED
        own = (outputs.argmax(-1) == targets)[judged].float().mean()  # NaN where none is judged
        return {"accuracy": accuracy(outputs, targets), "own": own}


@pytest.fixture
def make(plugins: Registry):
    def make(task: Task) -> RecurrentModule:
        torch.manual_seed(0)
        cls = plugins.get("cell", "elman").cls
        network = RecurrentNetwork(
            lambda size: cls(size, hidden_size=4),
            task.input_size,
            task.output_size,
            readout=task.patterns[0],
        )
        return RecurrentModule(network, task, SGD)

    return make


def evaluate(module: RecurrentModule, what: str) -> dict[str, float]:
    task = module.task
    data = TaskData(task, task.patterns[0], test_tasks=task.test_tasks())
    trainer = Trainer(logger=False, **QUIET)
    getattr(trainer, what)(module, data, verbose=False)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def test_each_judged_target_counts_as_much_as_another(make) -> None:
    task = Padded(length=10, batch_size=4, val_batches=3)
    module = make(task)
    found = evaluate(module, "validate")
    batches = [task.batch("val", index) for index in range(3)]
    outputs = torch.cat([module.network(b.inputs_TBI)[0].detach() for b in batches])
    targets = torch.cat([b.targets for b in batches])
    assert found["val/loss"] == pytest.approx(float(task.loss(outputs, targets)), rel=1e-5)
    for name, wanted in task.metrics(outputs, targets).items():
        assert found[f"val/{name}"] == pytest.approx(float(wanted), rel=1e-5)


def test_of_the_windows_of_a_sequence_the_outputs_of_few_are_alive(make) -> None:
    task = Padded(length=10, batch_size=4, val_batches=3)
    whole, module = evaluate(make(task), "validate"), make(task)
    module.window, kept, alive = 1, list[weakref.ref[Tensor]](), list[int]()

    def note(network: Any, args: Any, found: tuple[Tensor, Any]) -> None:
        kept.append(weakref.ref(found[0]))
        alive.append(sum(ref() is not None for ref in kept))

    module.network.register_forward_hook(note)
    assert evaluate(module, "validate") == pytest.approx(whole, rel=1e-5)
    assert len(alive) == 30
    assert max(alive) <= 3


@pytest.fixture
def fed_back(plugins: Registry):
    def make(task: Task) -> RecurrentModule:
        cls = plugins.get("cell", "elman").cls
        torch.manual_seed(0)
        network = RecurrentNetwork(
            lambda size: cls(size, hidden_size=4),
            task.input_size,
            task.output_size,
            feedback=True,
            encode_output=task.encode_output,
        )
        return RecurrentModule(network, task, SGD)

    return make


def test_running_free_has_the_same_figures(fed_back, plugins: Registry) -> None:
    task = plugins.get("task", "char_lm").cls(inputs="none", batch_size=400, length=10)
    found = evaluate(fed_back(task), "validate")
    names = {name for name in found if not name.endswith("_free")}
    assert {f"{name}_free" for name in names} == found.keys() - names
    assert found["val/loss_free"] != found["val/loss"]
    wanted = found["val/loss_free"] / task.baseline_of("val")
    assert found["val/loss_relative_free"] == pytest.approx(wanted, rel=1e-5)


def test_a_split_that_judges_nothing_has_no_figure(make) -> None:
    task = Padded(length=10, batch_size=4, val_batches=1)
    task.judged = (0,)
    assert math.isnan(evaluate(make(task), "validate")["val/loss"])


@pytest.mark.parametrize("what", ["validate", "test"])
def test_a_loss_is_set_beside_the_baseline_of_its_own_split(
    make, plugins: Registry, what: str
) -> None:
    task = plugins.get("task", "adding").cls(length=8, val_batches=2, test_batches=3)
    found, split = evaluate(make(task), what), {"validate": "val", "test": "test"}[what]
    wanted = found[f"{split}/loss"] / task.baseline_of(split)
    assert found[f"{split}/loss_relative"] == pytest.approx(wanted, rel=1e-5)
    assert task.baseline_of(split) != pytest.approx(1 / 6, rel=0.01)


def test_other_lengths_are_named_as_they_were_asked_for(make, plugins: Registry) -> None:
    cls = plugins.get("task", "copy_memory").cls
    found = evaluate(make(cls(length=5, test_batches=1, test_lengths=(9, 20))), "test")
    lengths = {name.partition("_T")[2] for name in found if "_T" in name}
    assert lengths == {"9", "20"}, "T as in the definition; the sequences have 2K steps more"
    alone = evaluate(make(cls(length=20, test_batches=1)), "test")
    assert found["test/loss_T20"] == alone["test/loss"]


def test_other_lengths_are_judged_running_free_too(fed_back, plugins: Registry) -> None:
    cls = plugins.get("task", "copy_memory").cls
    found = evaluate(fed_back(cls(length=5, test_batches=1, test_lengths=(9, 20))), "test")
    alone = evaluate(fed_back(cls(length=20, test_batches=1)), "test")
    for name in ("loss", "accuracy"):
        assert found[f"test/{name}_T20"] == alone[f"test/{name}"]
        assert found[f"test/{name}_T20_free"] == alone[f"test/{name}_free"]
    assert found["test/loss_T20_free"] != found["test/loss_T20"]


def test_a_figure_of_the_tasks_does_not_take_the_place_of_the_loss(make, plugins: Registry) -> None:
    class Own(plugins.get("task", "temporal_order").cls):
        def metrics(self, outputs, targets):
            return {"loss": super().metrics(outputs, targets)["accuracy"]}

    with pytest.raises(PluginError, match="metrics gives a figure 'loss', and under this name"):
        evaluate(make(Own(length=20, val_batches=1)), "validate")
