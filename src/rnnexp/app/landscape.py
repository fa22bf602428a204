"""``rnnexp landscape``: a slice of the loss along the raw gradient at a recorded cliff."""

import argparse

import torch

from rnnexp.app.rebuild import Rebuilt, folder_of, rebuild
from rnnexp.errors import ConfigError
from rnnexp.monitors.events import load_events
from rnnexp.report.slice import Slice, draw_slice

POINTS = 201


def main(command: str, arguments: list[str]) -> int:
    """Draw the loss of a step's batch along its gradient, into the run's folder."""
    parser = argparse.ArgumentParser(prog=f"rnnexp {command}", description=__doc__)
    parser.add_argument("run", help="MLflow run id, or the run's folder")
    parser.add_argument("step", type=int, nargs="?", help="default: the run's largest cliff")
    args = parser.parse_args(arguments)
    folder = folder_of(args.run)
    events = load_events(folder)
    if not events and args.step is None:
        raise ConfigError(f"{folder} has no recorded cliff. Name a step.")
    step = args.step or max(events, key=lambda event: event.raw_norm).step
    files = draw_slice(slice_of(rebuild(folder, step), step), folder / f"landscape_{step}.png")
    for file in files:
        print(f"Drawn: {file}")
    return 0


def slice_of(made: Rebuilt, step: int) -> Slice:
    """Evaluate the loss along the raw gradient, a plain gradient step's length to either side.

    E(a) = loss(theta - a * g / ||g||)
    """
    weights = [p for p in made.module.parameters() if p.grad is not None]
    start = torch.nn.utils.parameters_to_vector(weights).detach().clone()
    grad = torch.nn.utils.parameters_to_vector([p.grad for p in weights if p.grad is not None])
    norm, lr = float(grad.norm()), float(made.plan.values["optimizer"]["lr"])
    reach = 1.2 * lr * norm
    distances = torch.linspace(-reach, reach, POINTS)
    losses: list[float] = []
    for distance in distances.tolist():
        torch.nn.utils.vector_to_parameters(start - distance * grad / norm, weights)
        losses.append(_loss(made))
    torch.nn.utils.vector_to_parameters(start, weights)
    threshold = made.plan.values["clip"]["max_norm"]
    return Slice(step, distances.tolist(), losses, norm, lr, threshold)


@torch.no_grad()
def _loss(made: Rebuilt) -> float:
    made.module.traces = []
    with made.module.keeping_state(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # dropout drops the same at every point
        loss = made.module.training_step(made.batch, 0)
    assert loss is not None
    return float(loss)
