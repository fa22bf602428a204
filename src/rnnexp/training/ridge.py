"""A readout in closed form, for networks whose recurrence is not trained or not trained yet."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from pytorch_lightning.plugins.precision import Precision
from torch import Tensor, nn

from rnnexp.errors import ConfigError
from rnnexp.recurrence import Feed, RecurrentNetwork
from rnnexp.tasks import IGNORED, Task, one_hot


@dataclass(frozen=True)
class Ridge:
    """Over how much the readout is fitted, and how strongly its weights are held small.

    Args:
        strength: lambda, beside the mean of the squared error over rows and steps; at least 0.
        batches: how many training batches count, the first ones; at least 1.
    """

    strength: float = 1e-6
    batches: int = 50

    def __post_init__(self) -> None:
        if not (0 <= self.strength < math.inf) or self.batches < 1:
            raise ConfigError(
                "model.ridge_strength, model.ridge_batches: must be finite and at least 0, and 1, "
                f"got {self.strength} and {self.batches}."
            )


@torch.no_grad()
def fit_readout(
    network: RecurrentNetwork, task: Task, ridge: Ridge, precision: Precision | None = None
) -> None:
    """Set the readout to the best linear one over the first training batches.

        V, c = argmin  mean ||V h + c - y||^2 + lambda ||V||^2

    over all batches and the steps at which outputs are read and judged; y is the target, or the
    one-hot of its class; one that is NaN is missing. Draws nothing, so that a seed gives the same
    network every time.

    Args:
        network: its readout is overwritten, all else is left as it is.
        task: gives the batches.
        ridge: see there.
        precision: what the network has been converted to, in which it runs here, too.

    Raises:
        ConfigError: the readout has no matrix; no target is known.

    Source: Lukoševičius & Jaeger 2009, "Reservoir computing approaches to recurrent neural network
        training".
    """
    readout = network.readout
    if not isinstance(readout, nn.Linear):
        raise ConfigError("model.readout_fit=ridge needs a readout: use model.head=linear.")
    width = readout.in_features + 1
    gram = torch.zeros(width, width, dtype=torch.float64)
    moment = torch.zeros(width, task.output_size, dtype=torch.float64)
    count = 0
    for h_NH, y_NO in _pairs(network, task, ridge.batches, precision or Precision()):
        h1_NH = nn.functional.pad(h_NH.double(), (0, 1), value=1.0)
        gram += h1_NH.mT @ h1_NH
        moment += h1_NH.mT @ y_NO.double()
        count += len(h_NH)
    if count == 0:
        raise ConfigError(
            f"model.readout_fit=ridge: of no step of the first {ridge.batches} training batches is "
            "the whole target known. Give more model.ridge_batches, or predict fewer columns."
        )
    held = torch.full((width,), ridge.strength, dtype=torch.float64)
    held[-1] = 0.0  # the bias is free
    # By least squares: a reservoir may have units that never differ.
    solution = torch.linalg.lstsq(gram / count + held.diag(), moment / count, driver="gelsd")[0]
    readout.weight.copy_(solution[:-1].mT)
    readout.bias.copy_(solution[-1])


def _pairs(
    network: RecurrentNetwork, task: Task, batches: int, precision: Precision
) -> Iterator[tuple[Tensor, Tensor]]:
    """Run the network over training batches, and give what the readout sees and should say."""
    seen: list[Tensor] = []
    hook = network.readout.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    was_training, state = network.training, None
    network.eval()
    try:
        for index in range(batches):
            batch = precision.convert_input(task.batch("train", index))
            fed = task.encode_target(batch.targets) if network.feedback else None
            seen.clear()
            with precision.forward_context():
                _, state = network(
                    batch.inputs_TBI,
                    None if batch.fresh else state,
                    targets_TBO=None if fed is None else fed.to(batch.inputs_TBI.dtype),
                    feed=Feed.teacher(),
                )
            yield _judged(seen[0].flatten(0, -2), batch.targets, task.output_size)
    finally:
        hook.remove()
        network.train(was_training)


def _judged(h_NH: Tensor, targets: Tensor, outputs: int) -> tuple[Tensor, Tensor]:
    if targets.is_floating_point():
        y_NO = targets.reshape(-1, outputs)
        known_N = ~y_NO.isnan().any(-1)
        return h_NH[known_N], y_NO[known_N]
    classes_N = targets.flatten()
    known_N = classes_N != IGNORED
    return h_NH[known_N], one_hot(classes_N[known_N], outputs)
