"""The control of a cliff: what other batches' gradients are with the very same weights."""

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from rnnexp.errors import NonFiniteError
from rnnexp.monitors.groups import GroupNorms
from rnnexp.tasks import Batch
from rnnexp.tasks.stream import BatchStream

TRIED = 3
"""Steps before the cliff whose batches are tried; of three, one may be unusual, too."""
_CHANGING = ("on_before_backward", "on_after_backward", "on_before_optimizer_step")


@dataclass(frozen=True)
class Begun:
    """How a step was begun.

    Args:
        done: batches of the step so far, the latest with it.
        state: that was carried to the first of them; None for none.
        is_known: whether that is known; where a run goes on amid a step, it is not.
    """

    done: int
    state: Any
    is_known: bool = True


def control_norms(
    trainer: Trainer, pl_module: LightningModule, norms: GroupNorms, begun: Begun
) -> tuple[float, ...]:
    """Measure the raw norms that the batches of the steps before have with the present weights.

    They are made again from their seeds, and go on from the state that the present step has begun
    with. Windows of a sequence are those of the same place in the sequences before. The gradients
    of the step, the states that are carried on, buffers, and the random numbers to come stay as
    they are.

    Args:
        trainer: amid a step, before the optimizer moves.
        pl_module: a `RecurrentModule`.
        norms: of its network.
        begun: how the present step was.

    Returns:
        Norms, of the nearest step first; NaN for one whose loss is not finite, or that the network
        itself refuses. None where they cannot be compared: with several processes, or where others
        change the gradients.
    """
    stream = trainer.train_dataloader
    if trainer.world_size > 1 or not isinstance(stream, BatchStream) or _is_changed(trainer):
        return ()
    steps = list(_steps_before(stream, begun.done))
    if not (begun.is_known or all(step[0].fresh for step in steps)):
        return ()
    found, scale = list[float](), loss_scale(trainer)
    with _left_as_it_is(pl_module):
        for step in steps:
            pl_module.zero_grad()
            cast(Any, pl_module).carry(begun.state)
            whole = _back_propagate(trainer, pl_module, step, scale)
            found.append(norms.total() / scale if whole else math.nan)
    return tuple(found)


def _steps_before(stream: BatchStream, size: int) -> Iterator[list[Batch]]:
    begin, apart = stream.position - size, stream.windows * -(-size // stream.windows)
    for first in range(begin - apart, -1, -apart)[:TRIED]:
        yield [stream.at(first + i) for i in range(size)]


def _is_changed(trainer: Trainer) -> bool:
    """Tell whether a callback has a hand in gradients; those of this package only look."""
    others = [
        callback
        for callback in cast(Any, trainer).callbacks
        if not type(callback).__module__.startswith(f"{__package__}.")
    ]
    return any(_does(callback, hook) for callback, hook in product(others, _CHANGING))


def _does(callback: Callback, hook: str) -> bool:
    # One that was set on the object counts as well; of one that is dropped there None stands.
    found = vars(callback).get(hook, getattr(type(callback), hook))
    return found not in (None, getattr(Callback, hook))


def loss_scale(trainer: Trainer) -> float:
    """Give by what losses are multiplied: of float16, whose gradients would vanish otherwise."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return 1.0 if scaler is None else float(scaler.get_scale())


@contextmanager
def _left_as_it_is(pl_module: LightningModule) -> Generator[None]:
    module = cast(Any, pl_module)
    gradients = [parameter.grad for parameter in module.parameters()]
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    traces, module.traces = module.traces, []
    on_gpu = [pl_module.device] if pl_module.device.type == "cuda" else []
    try:
        with module.keeping_state(), torch.random.fork_rng(on_gpu), torch.enable_grad():
            yield
    finally:
        module.traces = traces
        for parameter, gradient in zip(module.parameters(), gradients, strict=True):
            parameter.grad = gradient
        with torch.no_grad():
            for buffer, kept in buffers:
                buffer.copy_(kept)


def _back_propagate(
    trainer: Trainer, pl_module: LightningModule, batches: Sequence[Batch], scale: float
) -> bool:
    """Tell whether the losses were finite, and all on the way where the network checks it."""
    precision = trainer.precision_plugin
    for batch in batches:
        there = trainer.strategy.batch_to_device(batch, pl_module.device)
        try:
            with precision.forward_context():
                loss = cast(Any, pl_module).training_step(precision.convert_input(there), 0)
        except NonFiniteError:
            return False
        if not loss.isfinite():
            return False
        (loss * scale / len(batches)).backward()
    return True
