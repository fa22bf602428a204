"""A module that the weights of a run can be loaded into."""

from collections.abc import Iterable

from pytorch_lightning import Trainer
from torch.optim import SGD

from rnnexp.app.config.build import Plan, build_network
from rnnexp.app.config.probe import blaming
from rnnexp.app.run.trainer import plugged_in, quiet
from rnnexp.training.module import Recipe, RecurrentModule
from rnnexp.training.precision import precision_of


def loadable(plan: Plan, names: Iterable[str]) -> RecurrentModule:
    """Make an untrained module, with what the run's callbacks make of it before it has weights.

    Args:
        plan: the run's.
        names: of its weights, as in a checkpoint; where those of the module are the same,
            callbacks are left alone.

    Raises:
        PluginError: a callback fails to set the module up.
    """
    module = RecurrentModule(build_network(plan), plan.task, Recipe(SGD))
    # As before a run begins, whatever torch's default type is here.
    precision_of(plan.values["trainer"]["precision"]).convert_module(module.float())
    if plan.values.get("callbacks") and module.state_dict().keys() != set(names):
        _set_up(plan, module)
    return module


def _set_up(plan: Plan, module: RecurrentModule) -> None:
    quiet()
    callbacks = plugged_in(plan.values)
    module.trainer = Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    for name, callback in zip(plan.values["callbacks"], callbacks, strict=True):
        with blaming("callback", name, "fails in its setup"):
            callback.setup(module.trainer, module, "fit")
