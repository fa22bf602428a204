"""Lightning's hooks without what nobody uses of them: together a twentieth of a small step.

It enters a profiler's context around each hook of each callback, be the hook empty or not, and
around each part of a step.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

from pytorch_lightning import Callback, LightningModule
from pytorch_lightning.profilers import PassThroughProfiler

AT_EVERY_STEP = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)
_NOTHING = nullcontext()


class NoProfiler(PassThroughProfiler):
    """A profiler that is not even entered."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Give a context that does nothing, the same each time."""
        del action_name
        return _NOTHING


def drop_empty_hooks(owners: Iterable[Callback | LightningModule]) -> None:
    """Have Lightning pass over the hooks of each step that a callback or module leaves as they are.

    What cannot be called it leaves out. A hook that was set on the object itself, as Lightning's
    `LambdaCallback` sets its own, is left as it is.

    Args:
        owners: the callbacks of a trainer, or the module that it trains.
    """
    for owner in owners:
        plain = LightningModule if isinstance(owner, LightningModule) else Callback
        for name in AT_EVERY_STEP:
            if name not in vars(owner) and getattr(type(owner), name) is getattr(plain, name):
                setattr(owner, name, None)
