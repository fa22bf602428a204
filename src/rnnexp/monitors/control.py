"""The control of a cliff: what other batches' gradients are with the very same weights."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any, cast

import torch
from pytorch_lightning import LightningModule, Trainer

from rnnexp.errors import NonFiniteError
from rnnexp.monitors.groups import GroupNorms
from rnnexp.tasks import Batch
from rnnexp.tasks.stream import BatchStream

TRIED = 3
"""Steps before the cliff whose batches are tried; of three, one may be unusual, too."""


def control_norms(
    trainer: Trainer, pl_module: LightningModule, norms: GroupNorms, done: int
) -> tuple[float, ...]:
    """Measure the raw norms that the batches of the steps before have with the present weights.

    They are made again from their seeds. The gradients of the present step, the states that are
    carried on and the random numbers to come stay as they are.

    Args:
        trainer: amid a step, before the optimizer moves.
        pl_module: a `RecurrentModule`.
        norms: of its network.
        done: batches of the present step so far, the latest with it.

    Returns:
        Norms, of the step just before first; of as many batches each as a step takes. None under
        truncated BPTT, where a window goes on from a state that other weights have left, and with
        several processes.
    """
    stream = trainer.train_dataloader
    if not isinstance(stream, BatchStream) or stream.windows > 1 or trainer.world_size > 1:
        return ()
    size = trainer.accumulate_grad_batches
    ends = range(stream.position - done, size - 1, -size)[:TRIED]
    found, scale = list[float](), loss_scale(trainer)
    with _left_as_it_is(pl_module):
        for end in ends:
            pl_module.zero_grad()
            _back_propagate(
                trainer, pl_module, map(stream.at, range(end - size, end)), scale / size
            )
            found.append(norms.total() / scale)
    return tuple(found)


def loss_scale(trainer: Trainer) -> float:
    """Give by what losses are multiplied: of float16, whose gradients would vanish otherwise."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return 1.0 if scaler is None else float(scaler.get_scale())


@contextmanager
def _left_as_it_is(pl_module: LightningModule) -> Generator[None]:
    module = cast(Any, pl_module)
    gradients = [parameter.grad for parameter in module.parameters()]
    traces, module.traces = module.traces, []
    on_gpu = [pl_module.device] if pl_module.device.type == "cuda" else []
    try:
        with module.keeping_state(), torch.random.fork_rng(on_gpu):
            yield
    finally:
        module.traces = traces
        for parameter, gradient in zip(module.parameters(), gradients, strict=True):
            parameter.grad = gradient


def _back_propagate(
    trainer: Trainer, pl_module: LightningModule, batches: Iterable[Batch], share: float
) -> bool:
    """Tell whether all numbers on the way were finite, where the network checks them."""
    precision = trainer.precision_plugin
    for batch in batches:
        there = trainer.strategy.batch_to_device(batch, pl_module.device)
        try:
            with precision.forward_context():
                loss = cast(Any, pl_module).training_step(precision.convert_input(there), 0)
        except NonFiniteError:
            return False
        (loss * share).backward()
    return True
