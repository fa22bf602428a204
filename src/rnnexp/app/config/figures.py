"""The figures that a run of a plan will have, known before it runs."""

from collections.abc import Iterable, Sequence

import torch

from rnnexp.app.config.build import Plan
from rnnexp.errors import ConfigError, suggest
from rnnexp.tasks.record import metrics_of
from rnnexp.tracking import BEST, FREE, selection_loss


def check_objectives(objectives: Sequence[str], plan: Plan) -> None:
    """Refuse what a search is to improve where no run will have it.

    Figures of training, and those of callbacks, are known to the run alone: they pass.

    Raises:
        ConfigError: says which figure was probably meant.
    """
    if plan.values["callbacks"]:
        return
    known = figures_of(plan)
    for name in objectives:
        split, slash, _ = name.partition("/")
        if name not in known and (not slash or split in ("val", "test")):
            raise ConfigError(
                f"hydra.sweeper.objectives: no run will have a figure '{name}'. "
                f"{suggest(name, known)}"
            )


def selected_by(plans: Iterable[Plan]) -> str:
    """Name the figure by which the validations of runs are compared, see `selection_loss`."""
    return f"val/{selection_loss(plan.values['unroll']['feed'] for plan in plans)}"


def usual_objective(plans: Iterable[Plan]) -> str:
    """Name what runs are compared by: that figure at the best validation of each."""
    return f"{selected_by(plans)}{BEST}"


def figures_of(plan: Plan) -> list[str]:
    """List the figures of the validation and test splits, and ``seconds``."""
    task = plan.task
    batch = task.batch("val", 0)
    rows = batch.inputs_TBI.shape[1]
    lead = (task.length, rows) if plan.pattern == "every_step" else (rows,)
    outputs = torch.zeros(*lead, task.output_size)
    everywhere = ["loss", *metrics_of(task, outputs, batch.targets)]
    own = [*everywhere, *(["loss_relative"] if task.baseline_of("val") else [])]
    own += [f"{name}{FREE}" for name in own] if plan.feedback else []
    lengths = [other.stated_length for other in task.test_tasks()]
    longer = [f"{name}_T{length}" for length in lengths for name in everywhere]
    tested = [f"test/{name}" for name in (*own, *longer)]
    validated = [*(f"val/{name}" for name in own), usual_objective([plan])]
    return [*validated, *tested, "seconds"]
