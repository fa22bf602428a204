from types import SimpleNamespace

import pytest
from torch import nn

from rnnexp.monitors.weights import WeightPath


class Recorder:
    def __init__(self) -> None:
        self.lines: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, values: dict[str, float], step: int) -> None:
        self.lines.append((step, values))


class Module(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.network = nn.Module()
        cell = nn.Module()
        cell.weight_hh = nn.Parameter(0.5 + 0 * nn.Linear(1, 1).weight)
        cell.bias_hh = nn.Parameter(nn.Linear(1, size).bias * 0 + 2)
        self.network.cells = nn.ModuleList([cell])


@pytest.fixture
def trainer() -> SimpleNamespace:
    return SimpleNamespace(global_step=0, logger=Recorder())


def test_logs_the_begin_and_every_step(trainer) -> None:
    path, module = WeightPath(), Module(1)
    path.on_train_start(trainer, module)
    for step in (1, 1, 2):  # the second batch is accumulated only
        trainer.global_step = step
        path.on_train_batch_end(trainer, module, None, None, 0)
    assert [step for step, _ in trainer.logger.lines] == [0, 1, 2]
    assert trainer.logger.lines[0][1] == {"param/layer0.weight_hh": 0.5, "param/layer0.bias_hh": 2}


def test_vectors_are_numbered(trainer) -> None:
    WeightPath().on_train_start(trainer, Module(2))
    assert set(trainer.logger.lines[0][1]) == {
        "param/layer0.weight_hh",
        "param/layer0.bias_hh.0",
        "param/layer0.bias_hh.1",
    }


def test_a_larger_network_is_passed_over(trainer) -> None:
    path, module = WeightPath(), Module(8)
    path.on_train_start(trainer, module)
    path.on_train_batch_end(trainer, module, None, None, 0)
    assert trainer.logger.lines == []


def test_a_resumed_run_does_not_log_its_begin_again(trainer) -> None:
    trainer.global_step = 7
    WeightPath().on_train_start(trainer, Module(1))
    assert trainer.logger.lines == []
