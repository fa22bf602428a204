"""The batches that make up one optimizer step, whose gradient is the mean of theirs."""

from pytorch_lightning import Trainer


def size_of_step(batch_idx: int, batches: int | float, accumulate: int) -> int:
    """Count the batches of a step; the last one of an epoch takes what is left of it.

    Args:
        batch_idx: of any of them, in its epoch, from 0.
        batches: of an epoch.
        accumulate: how many a step takes at most.
    """
    begin = batch_idx - batch_idx % accumulate
    return int(max(1, min(accumulate, batches - begin)))


def batches_of_step(trainer: Trainer) -> int:
    """Count the batches of the step that a training batch belongs to, while it runs.

    A module whose run goes on with other steps than it was stopped in says as ``first_batch``, of
    all batches so far, with which they begin: the first step may have fewer.
    """
    batch_idx, accumulate = trainer.fit_loop.batch_idx, trainer.accumulate_grad_batches
    begin = trainer.fit_loop.total_batch_idx - batch_idx % accumulate
    missed = getattr(trainer.lightning_module, "first_batch", 0) - begin
    return size_of_step(batch_idx, trainer.num_training_batches, accumulate) - max(0, missed)
