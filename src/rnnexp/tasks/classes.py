"""Losses, figures and feedback of tasks whose targets are classes."""

import torch
from torch import Tensor, nn

from rnnexp.errors import PluginError

IGNORED = -100
"""The class number of a target that is not judged, such as that of a step of padding."""


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean negative log-likelihood of the right classes, in nats.

        -mean log softmax(outputs)[target]    over the targets that are not `IGNORED`

    Where all are ignored, as in a window that is all padding, loss and gradient are 0.

    Args:
        outputs: logits, shape (..., V).
        targets: class numbers, shape (...), of torch.int64.

    Raises:
        PluginError: the targets have another shape, or are no class numbers.
    """
    _check_shapes("cross_entropy", outputs, targets)
    if targets.dtype not in (torch.int64, torch.uint8):  # what torch takes
        raise PluginError(
            f"cross_entropy: targets are class numbers of torch.int64, got {targets.dtype}. "
            "Write targets.long() where the batch is made."
        )
    mean = nn.functional.cross_entropy(
        outputs.flatten(0, -2), targets.flatten(), ignore_index=IGNORED
    )
    # torch's mean of nothing is NaN; an ignored target sends no gradient back in any case.
    return mean.where((targets != IGNORED).any(), 0.0)


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Compute the share of right classes, in [0, 1], among the targets that are not `IGNORED`.

    Args:
        outputs: logits, shape (..., V).
        targets: class numbers, shape (...).

    Raises:
        PluginError: the targets have another shape.
    """
    _check_shapes("accuracy", outputs, targets)
    right = (outputs.argmax(-1) == targets).sum()
    return right / (targets != IGNORED).sum().clamp(min=1)


def one_hot(classes: Tensor, size: int) -> Tensor:
    """Encode class numbers as inputs, shape (..., size); zeros where one is `IGNORED`."""
    # torch.nn.functional.one_hot makes whole numbers of 8 bytes: twice the memory, and once more.
    known = (classes != IGNORED).unsqueeze(-1)
    shown = torch.zeros(*classes.shape, size, device=classes.device)
    return shown.scatter_(-1, classes.unsqueeze(-1).long().where(known, 0), known.to(shown))


def _check_shapes(figure: str, outputs: Tensor, targets: Tensor) -> None:
    # torch would set each row beside the targets of all: a share above 1, or a loss of nothing.
    wanted, got = tuple(outputs.shape[:-1]), tuple(targets.shape)
    if wanted != got:
        raise PluginError(
            f"{figure}: outputs of shape {tuple(outputs.shape)} need targets of shape {wanted}, "
            f"a class number for each row of logits; got {got}. Give the targets that shape."
        )
