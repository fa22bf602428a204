"""Which backend runs each layer in training: a tag of the run's record."""

from typing import cast

from pytorch_lightning import Callback, LightningModule, Trainer

from rnnexp.monitors.groups import cell_names
from rnnexp.recurrence import RecurrentNetwork, choose_backend
from rnnexp.recurrence.trace import Shown
from rnnexp.tracking import RunLog

TAG = "rnnexp.backend."


class BackendTags(Callback):
    """Note the backend of each layer once training has begun.

    Before, the weights are on the CPU and in float32, whatever device and precision they are
    trained with.

    Args:
        log: the run's record.
        needed: how much of dL/dh_t every step must show.
    """

    def __init__(self, log: RunLog, needed: Shown = "nothing") -> None:
        self._record = log  # `log` is set by Lightning
        self.needed: Shown = needed

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ask as a training step does: under autocast, where there is any."""
        network = cast(RecurrentNetwork, pl_module.network)
        with trainer.precision_plugin.train_step_context():
            names = [choose_backend(cell, network.backend, self.needed) for cell in network.layers]
        named = zip(cell_names(network), names, strict=True)
        self._record.tags({f"{TAG}{cell}": name for cell, name in named})
