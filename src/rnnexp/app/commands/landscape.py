"""``rnnexp landscape``: a slice of the loss along the raw gradient at a recorded cliff."""

import math

import torch

from rnnexp.app.commands.recorded import asked_for, keep
from rnnexp.app.run.rebuild import Rebuilt, rebuild
from rnnexp.errors import ConfigError
from rnnexp.report.slice import Slice, distances_around, draw_slice, steps_of


def main(command: str, arguments: list[str]) -> int:
    """Draw the loss of a step's batch along its gradient, into the run's folder."""
    # Along a gradient that is not finite there is nothing to draw: such a cliff is taken last.
    folder, step = asked_for(command, arguments, __doc__, nonfinite=-math.inf)
    files = draw_slice(slice_of(rebuild(folder, step), step), folder / f"landscape_{step}.png")
    keep(folder, files)
    return 0


def slice_of(made: Rebuilt, step: int) -> Slice:
    """Evaluate the loss along the raw gradient, a plain gradient step's length to either side.

    Where clipping makes the step much shorter, that of the clipped one too, as finely.

    E(a) = loss(theta - a * g / ||g||)

    Raises:
        ConfigError: the gradient is zero or not finite, and so no direction.
    """
    weights = [p for p in made.module.parameters() if p.grad is not None]
    start = torch.nn.utils.parameters_to_vector(weights).detach().clone()
    grads = [p.grad.detach() for p in weights if p.grad is not None]
    grad = torch.nn.utils.parameters_to_vector(grads)
    norm = float(grad.norm())
    _check_direction(norm, step)
    lengths = steps_of(made.lr, norm, made.plan.max_norm)
    distances = sorted({at for length in lengths for at in distances_around(length)})
    losses: list[float] = []
    for distance in distances:
        torch.nn.utils.vector_to_parameters(start - distance * grad / norm, weights)
        losses.append(_loss(made))
    torch.nn.utils.vector_to_parameters(start, weights)
    return Slice(step, distances, losses, norm, made.lr, made.plan.max_norm)


def _check_direction(norm: float, step: int) -> None:
    if not (math.isfinite(norm) and norm > 0):
        other = f"Name another step, such as {step - 1}. " if step > 1 else ""
        raise ConfigError(
            f"The gradient of step {step} has the norm {norm:g}, and is no direction along which "
            f"the loss could be drawn. {other}rnnexp replay shows where in time it comes from."
        )


@torch.no_grad()
def _loss(made: Rebuilt) -> float:
    made.module.traces = []
    losses: list[float] = []
    with made.module.keeping_state(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # dropout drops the same at every point
        for batch in made.batches:
            losses.append(float(made.loss_of(batch)))
    return sum(losses) * made.share
