"""Omega in training: what it adds to the gradient, against a hand-written unrolling."""

from collections.abc import Mapping
from copy import deepcopy

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import Logger
from torch import Tensor

from rnnexp.monitors.flow import vanishing_ratio
from rnnexp.recurrence import RecurrentNetwork, Trace
from rnnexp.tasks.datamodule import TaskData
from rnnexp.training.module import Recipe, RecurrentModule
from rnnexp.training.omega import Flavour
from rnnexp.training.regularise import OmegaRegulariser, OmegaTerm

from ...quiet import QUIET


def module_of(
    plugins, length: int = 8, layers: int = 2, lr: float = 1.0, **counts: int
) -> RecurrentModule:
    torch.manual_seed(0)
    task = plugins.get("task", "adding").cls(length=length, batch_size=4, **counts)
    elman = plugins.get("cell", "elman").cls
    network = RecurrentNetwork(
        lambda size: elman(size, hidden_size=5, recurrent_init="uniform"),
        2,
        1,
        layers=layers,
        readout="last",
    )
    return RecurrentModule(network, task, Recipe(lambda p: torch.optim.SGD(p, lr=lr)))


class Noted(Logger):
    """Keeps Omega as it is logged."""

    name, version = "noted", "0"

    def __init__(self) -> None:
        super().__init__()
        self.points: list[tuple[int, float]] = []

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if "train/omega" in metrics:
            self.points.append((step or 0, metrics["train/omega"]))

    def log_hyperparams(self, *args: object, **kwargs: object) -> None:
        pass


def fit(
    module: RecurrentModule,
    term: OmegaTerm | None,
    steps: int,
    accumulate: int = 1,
    logger: Logger | None = None,
) -> None:
    callbacks = [] if term is None else [OmegaRegulariser(term)]
    trainer = Trainer(
        max_steps=steps,
        accumulate_grad_batches=accumulate,
        callbacks=callbacks,
        logger=logger or False,
        **QUIET,
        limit_val_batches=0,
    )
    trainer.fit(module, TaskData(module.task, "last", None, []))


def by_hand(module: RecurrentModule, batch, flavour: Flavour, weight: float) -> list[Tensor]:
    """Each layer's dL/dR plus weight times dOmega/dR, in plain loops over time."""
    network, below, hidden = module.network, list(batch.inputs_TBI), list[list[Tensor]]()
    for cell in network.layers:
        h_BH, outputs = torch.zeros(4, 5), list[Tensor]()
        for x_BI in below:
            h_BH = torch.tanh(x_BI @ cell.weight_ih.T + cell.bias_ih + h_BH @ cell.weight_hh.T)
            outputs.append(h_BH)
        hidden.append(outputs)
        below = outputs
    loss = module.task.loss(network.readout(below[-1]), batch.targets)
    matrices = [cell.weight_hh for cell in network.layers]
    of_loss = torch.autograd.grad(loss, matrices, retain_graph=True)
    found = []
    for matrix, outputs, plain in zip(matrices, hidden, of_loss, strict=True):
        grads = torch.autograd.grad(loss, outputs, retain_graph=True)
        value = omega_by_hand(matrix, [h.detach() for h in outputs], grads, flavour)
        found.append(plain + weight * torch.autograd.grad(value, matrix)[0])
    return found


def omega_by_hand(matrix, outputs, grads, flavour: Flavour) -> Tensor:
    total = torch.zeros(())
    for h_BH, g_BH in zip(outputs, grads, strict=True):
        back_BH = ((1 - h_BH**2) * g_BH) @ matrix
        ratio_B = back_BH.square().sum(-1) / g_BH.square().sum(-1)
        total = total + ((ratio_B.sqrt() if flavour == "paper" else ratio_B) - 1).square().sum()
    rows = len(outputs[0])
    return total / (rows if flavour == "paper" else rows * len(outputs))


@pytest.mark.parametrize(("flavour", "weight"), [("paper", None), ("code", None), ("paper", 0.5)])
@pytest.mark.parametrize(("accumulate", "epoch"), [(1, 5), (2, 5), (3, 2)])
def test_one_step_moves_by_both_gradients(
    plugins, flavour, weight, accumulate: int, epoch: int
) -> None:
    module = module_of(plugins, train_batches=epoch)
    before = deepcopy(module)
    fit(module, OmegaTerm(flavour, weight), 1, accumulate)
    used = weight if weight is not None else {"paper": 4.0, "code": 2.0}[flavour]
    size = min(accumulate, epoch)  # the last step of an epoch takes what is left of it
    batches = [before.task.batch("train", n) for n in range(size)]
    steps = [by_hand(before, batch, flavour, used) for batch in batches]
    for layer, cell in enumerate(module.network.layers):
        wanted = sum(step[layer] for step in steps) / size
        moved = before.network.layers[layer].weight_hh - cell.weight_hh
        torch.testing.assert_close(moved, wanted, rtol=1e-4, atol=1e-6)


def test_it_reaches_the_recurrent_matrix_only(plugins) -> None:
    plain, pulled = module_of(plugins), module_of(plugins)
    fit(plain, None, 1)
    fit(pulled, OmegaTerm(), 1)
    pairs = zip(plain.named_parameters(), pulled.named_parameters(), strict=True)
    differ = {name for (name, a), (_, b) in pairs if not torch.allclose(a, b, atol=1e-7)}
    assert differ == {"network.cells.0.weight_hh", "network.cells.1.weight_hh"}


def test_the_weight_falls() -> None:
    term = OmegaTerm("code", decay_steps=100)
    assert [term.weight_at(n) for n in (0, 100, 300)] == [2.0, 1.0, 0.5]
    assert OmegaTerm("paper").weight_at(10**6) == 4.0


@pytest.mark.parametrize("flavour", ["paper", "code"])
def test_gradients_vanish_less_with_it(plugins, flavour: Flavour) -> None:
    ratios = []
    for term in (None, OmegaTerm(flavour)):
        module = module_of(plugins, length=40, layers=1, lr=0.02)
        fit(module, term, 60)
        trace, batch = Trace(), module.task.batch("val", 0)
        outputs, _ = module.network(batch.inputs_TBI, traces=[trace])
        module.task.loss(outputs, batch.targets).backward()
        ratios.append(vanishing_ratio(trace.grad_norm_T.tolist()))
    plain, pulled = ratios
    assert plain < -5  # log10: dL/dh_1 is less than 1e-5 of dL/dh_T
    assert pulled > plain / 2


def test_the_figure_of_a_step_is_the_mean_over_its_batches(plugins) -> None:
    one, two = Noted(), Noted()
    fit(module_of(plugins, lr=1e-30), OmegaTerm(), 4, logger=one)
    fit(module_of(plugins, lr=1e-30), OmegaTerm(), 2, accumulate=2, logger=two)
    assert [step for step, _ in one.points] == [1, 2, 3, 4]
    values = [value for _, value in one.points]
    means = [(values[0] + values[1]) / 2, (values[2] + values[3]) / 2]
    assert two.points == [(1, pytest.approx(means[0])), (2, pytest.approx(means[1]))]
