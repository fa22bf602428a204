"""Losses, figures and feedback of tasks whose targets are classes."""

import torch
from torch import Tensor, nn


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean negative log-likelihood of the right classes, in nats.

        -mean log softmax(outputs)[target]

    Args:
        outputs: logits, shape (..., V).
        targets: class numbers, shape (...).
    """
    return nn.functional.cross_entropy(outputs.flatten(0, -2), targets.flatten())


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Compute the share of right classes, in [0, 1]."""
    return (outputs.argmax(-1) == targets).float().mean()


def one_hot(classes: Tensor, size: int) -> Tensor:
    """Encode class numbers as inputs, shape (..., size)."""
    return nn.functional.one_hot(classes, size).to(torch.get_default_dtype())
