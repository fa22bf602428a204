"""The figures that a run of a plan will have, known before it runs."""

from collections.abc import Iterable, Sequence

import torch

from rnnexp.app.config.build import Plan
from rnnexp.errors import ConfigError, suggest
from rnnexp.tasks.record import metrics_of
from rnnexp.tracking import BEST, FREE, relative, selection_loss, usual_aim
from rnnexp.tracking.outcome import Outcome


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


def aim_of(plans: Sequence[Plan], ended: Sequence[Outcome] = ()) -> tuple[str, str] | None:
    """Name what runs are compared by, and its direction; None for several tasks, see `usual_aim`.

    Args:
        plans: of runs.
        ended: further runs, which have ended.
    """
    values = [plan.values for plan in plans]
    configs = [{"task.name": v["task"]["name"], "unroll.feed": v["unroll"]["feed"]} for v in values]
    known = [outcome.baseline for outcome in ended if outcome.baseline]
    tasks = {repr(plan.values["task"]): plan.task for plan in plans}
    if known or len(tasks) > 1:  # a guess may be costly to measure
        known += [task.baseline_of("val") for task in tasks.values()]
    return usual_aim([*(outcome.config for outcome in ended), *configs], known)


def figures_of(plan: Plan) -> list[str]:
    """List the figures of the validation and test splits, and ``seconds``."""
    task = plan.task
    batch = task.batch("val", 0)
    steps, rows = batch.inputs_TBI.shape[:2]
    lead = (steps, rows) if plan.pattern == "every_step" else (rows,)
    outputs = torch.zeros(*lead, task.output_size)
    everywhere = ["loss", *metrics_of(task, outputs, batch.targets)]
    own = [*everywhere, *(["loss_relative"] if task.baseline_of("val") else [])]
    lengths = [other.stated_length for other in task.test_tasks()]
    longer = [f"{name}_T{length}" for length in lengths for name in everywhere]
    if plan.feedback:
        own, longer = ([*names, *(f"{name}{FREE}" for name in names)] for names in (own, longer))
    tested = [f"test/{name}" for name in (*own, *longer)]
    judged = selected_by([plan])
    best = [judged, *([relative(judged)] if task.baseline_of("val") else [])]
    validated = [*(f"val/{name}" for name in own), *(f"{name}{BEST}" for name in best)]
    return [*validated, *tested, "seconds"]
