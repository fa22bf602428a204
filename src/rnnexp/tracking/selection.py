"""The figure by which runs, and the weights within one, are compared and the best is kept."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

FREE = "_free"
"""Ends the names of figures that are measured running free, on the network's own outputs."""
BEST = "_best"
"""Ends the name of that loss at the best validation so far: what the weights that are kept have."""


def selection_loss(feeds: Iterable[str]) -> str:
    """Name the loss that says how good runs are: that of what they are trained to do.

        teacher          ->  loss         judged with the targets fed back
        scheduled, free  ->  loss_free    judged running free

    Args:
        feeds: ``unroll.feed`` of each run. If they differ, all are compared by ``loss``.
    """
    modes = {feed == "teacher" for feed in feeds}
    return f"loss{FREE}" if modes == {False} else "loss"


def selection_loss_of(configs: Iterable[Mapping[str, str]]) -> str:
    """Name the same loss for flattened configs; a record without ``unroll.feed`` is teacher's."""
    return selection_loss(config.get("unroll.feed", "teacher") for config in configs)


def relative(loss: str) -> str:
    """Name a loss over its baseline: ``val/loss_free`` as ``val/loss_relative_free``."""
    return loss.replace("loss", "loss_relative", 1)


def comparable(loss: str, baselines: Iterable[float | None]) -> str:
    """Name a loss of runs of one task as they can be compared: over its baseline, if that differs.

    Args:
        loss: the figure.
        baselines: of each run, what a guess costs; None where that is not known.
    """
    known = [baseline or 0.0 for baseline in baselines]
    alike = all(math.isclose(*pair, rel_tol=1e-3) for pair in pairwise(known))
    return loss if alike or not all(known) else relative(loss)


def usual_aim(
    configs: Sequence[Mapping[str, str]], baselines: Iterable[float | None]
) -> tuple[str, str] | None:
    """Name the figure by which runs are compared, and its direction; None for several tasks.

    Their losses have different units, squared errors beside nats: the least is not the best. Nor is
    that of ``loss_relative``, unless somebody asks for it: half of what a guess costs is easy in
    one task and hard in another. Of one task with other options, such as ``task.length``, it is.

    Args:
        configs: of the runs, flattened.
        baselines: see `comparable`.
    """
    if len({config["task.name"] for config in configs if "task.name" in config}) > 1:
        return None
    return f"{comparable(f'val/{selection_loss_of(configs)}', baselines)}{BEST}", "minimize"
