"""What a task returns in a wrong form is said in words, with the method and its line."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rnnexp.errors import PluginError
from rnnexp.tasks import Batch, GeneratedTask
from rnnexp.tasks.record import loss_of, metrics_of
from rnnexp.tasks.stream import BatchStream


class Given(GeneratedTask):
    """A task whose methods return what they are told."""

    input_size = output_size = 1
    told: Any = None

    def generate(self, rng: torch.Generator) -> Any:
        return self.told

    def loss(self, outputs: Tensor, targets: Tensor) -> Any:
        return self.told(outputs)

    def metrics(self, outputs: Tensor, targets: Tensor) -> Any:
        return {"hits": self.told}


class Batched(Given):
    def batch(self, split: Any, index: int) -> Any:
        return self.told


OUTPUTS = torch.ones(4, 1, requires_grad=True)
X = torch.ones(2, 4, 1)


def says(method: str, words: str) -> Any:
    kind = Batched if method == "batch" else Given
    line = getattr(kind, method).__code__.co_firstlineno
    words = f"'{kind.__name__}': {method} must return {words}.* Look at .*test_returned.py:{line}"
    return pytest.raises(PluginError, match=words + f".* rnnexp check {kind.__name__}")


@pytest.mark.parametrize(
    ("told", "got"),
    [
        (lambda y: y.square(), r"a tensor of one number, .*, got a tensor of shape \(4, 1\)"),
        (lambda y: y.mean().detach(), r"a tensor with a gradient, got .*, detached"),
        (lambda y: float(y.mean().detach()), "a tensor of one number, .* of type float"),
        (lambda y: {"loss": y.mean()}, "a tensor of one number, .* of type dict"),
        (lambda y: None, "a tensor of one number, .* got None"),
    ],
)
def test_a_loss(told: Callable[[Tensor], object], got: str) -> None:
    task = Given()
    task.told = told
    with says("loss", got):
        loss_of(task, OUTPUTS, OUTPUTS)


def test_a_loss_needs_no_gradient_where_the_outputs_have_none() -> None:
    task = Given()
    task.told = lambda y: y.mean()
    assert loss_of(task, OUTPUTS.detach(), OUTPUTS) == 1
    assert loss_of(task, OUTPUTS, OUTPUTS).requires_grad


@pytest.mark.parametrize(
    ("told", "got"),
    [
        ((X, X, X), r"two tensors, .* got 3 values \(Tensor, Tensor, Tensor\)"),
        (None, "two tensors, .* got None"),
        ((X.numpy(), X), r"two tensors, .* got 2 values \(ndarray, Tensor\)"),
    ],
)
def test_what_is_drawn(told: object, got: str) -> None:
    task = Given()
    task.told = told
    with says("generate", got):
        task.batch("train", 0)


def test_a_batch() -> None:
    task = Batched()
    stream = BatchStream(task, "train", "last")
    for told in (None, (X, X), replace(Batch(X, X), inputs_TBI=X.numpy())):
        task.told = told
        with says("batch", "a Batch of two tensors, the inputs and the targets, got"):
            stream.at(0)


def test_a_figure() -> None:
    task = Given()
    for told in (torch.ones(4, 1), None, "high"):
        task.told = told
        with says("metrics", "one number as 'hits', such as a mean over rows, got"):
            metrics_of(task, OUTPUTS, OUTPUTS)
    for told in (torch.tensor(3), torch.tensor(True), 3, 3.0, np.float32(3)):
        task.told = told
        found = metrics_of(task, OUTPUTS, OUTPUTS)["hits"]
        assert found.dtype == torch.float32
        assert found == float(told)
