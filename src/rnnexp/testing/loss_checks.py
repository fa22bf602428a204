"""The contract of a task, promise by promise: its loss, its figures, what it feeds back."""

import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from rnnexp.errors import PluginError
from rnnexp.tasks import Batch, Pattern, Split, Task, one_hot
from rnnexp.tasks.record import metrics_of
from rnnexp.testing.checks import BrokenError, Check, DoesNotApplyError, same_tensor
from rnnexp.testing.mean_checks import Judged, check_means
from rnnexp.testing.task_checks import TaskSubject

_BROADCASTS = "Using a target size"
"""How torch's losses begin their warning."""
_SEEN = 1e-5
"""A relative difference that is none of rounding."""


def check_feedback(subject: TaskSubject) -> None:
    """Targets that can be fed back have the form of outputs that are fed back."""
    task = subject.make()
    if not task.targets_as_inputs:
        raise DoesNotApplyError("its targets are no inputs")
    batch = task.batch("val", 0)
    fed = task.encode_target(batch.targets)
    own = task.encode_output(_outputs(task, batch, "every_step")[0])
    wanted = (task.length, batch.inputs_TBI.shape[1], task.output_size)
    if tuple(fed.shape) != wanted or tuple(own.shape) != wanted[1:]:
        raise BrokenError(
            f"fed-back targets of shape {wanted}, outputs of {wanted[1:]}",
            f"{tuple(fed.shape)}, {tuple(own.shape)}",
            f"Look at encode_target and encode_output of {subject.place}.",
        )


def check_loss(subject: TaskSubject) -> None:
    """The loss is a scalar with a gradient for the readouts that the task names."""
    task = subject.make()
    batch = task.batch("val", 0)
    for pattern in task.patterns:
        outputs = _outputs(task, batch, pattern).requires_grad_()
        with _judging(subject, outputs, batch.targets):
            loss = task.loss(outputs, batch.targets)
        if loss.dim() or not torch.isfinite(loss):
            raise BrokenError("a finite scalar loss", f"{loss.detach()}", subject.place)
        (grad,) = torch.autograd.grad(loss, outputs, allow_unused=True, materialize_grads=True)
        if not grad.any():
            raise BrokenError("a loss that depends on the outputs", "no gradient", subject.place)


def check_rows(subject: TaskSubject) -> None:
    """Each row is judged by its own target: beside those of other rows its loss is another."""
    task, outputs, targets, along = _judged(subject, "train")
    rows = targets.shape[along]
    alike = targets.index_select(along, torch.zeros(rows, dtype=torch.long))
    if same_tensor(alike, targets):
        raise DoesNotApplyError("its rows have the same target")
    with _judging(subject, outputs, targets):
        given = _loss(task, outputs, targets)
        if abs(_loss(task, outputs, alike) - given) <= 100 * _SEEN * abs(given):
            raise DoesNotApplyError("its loss hardly depends on the targets")
        moved = [_loss(task, outputs, targets.roll(by, along)) for by in range(1, rows)]
        if all(abs(loss - given) <= _SEEN * abs(given) for loss in moved):
            raise _broadcast(subject, outputs, targets)
        # A last batch may have fewer rows: outputs whose O is B by chance have another size there.
        _loss(task, *(tensor.narrow(along, 0, rows - 1) for tensor in (outputs, targets)))


def check_mean(subject: TaskSubject) -> str | None:
    """The loss is a mean over rows: that of a batch lies between those of its parts."""
    return _mean(subject, lambda task, *given: {"loss": task.loss(*given)})


def _mean(
    subject: TaskSubject, figures_of: Callable[[Task, Tensor, Tensor], Mapping[str, Tensor]]
) -> str | None:
    task, outputs, targets, along = _judged(subject)
    judged = Judged(task.batch("val", 0), outputs, along)
    with _judging(subject, outputs, targets):
        return check_means(judged, partial(figures_of, task), task.weight_of, subject.place)


def check_metrics(subject: TaskSubject) -> str | None:
    """Further figures are scalars under names of their own, an accuracy a share; all are means."""
    task, outputs, targets, along = _judged(subject)
    twice = torch.cat([targets, targets], along)
    right = _right(task, torch.cat([outputs, outputs], along), twice)
    for given in ((outputs, targets), (right, twice)):
        with _judging(subject, *given):
            names = metrics_of(task, *given)
            figures = {str(name): value for name, value in task.metrics(*given).items()}
        for name in names:  # as the task gives them: a run makes tensors of numbers
            _check_figure(subject, name, figures[name])
    return _mean(subject, metrics_of)


def _outputs(task: Task, batch: Batch, pattern: Pattern) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    rows = batch.inputs_TBI.shape[1]
    lead = (task.length, rows) if pattern == "every_step" else (rows,)
    return torch.randn(*lead, task.output_size, generator=rng)


def _judged(subject: TaskSubject, split: Split = "val") -> tuple[Task, Tensor, Tensor, int]:
    # A task, outputs and targets of its first readout, and the axis of their rows.
    task = subject.make()
    batch, pattern = task.batch(split, 0), task.patterns[0]
    outputs, along = _outputs(task, batch, pattern), 1 if pattern == "every_step" else 0
    return task, outputs, batch.targets, along


def _loss(task: Task, outputs: Tensor, targets: Tensor) -> float:
    return float(task.loss(outputs, targets))


def _right(task: Task, outputs: Tensor, targets: Tensor) -> Tensor:
    # Logits of the right answers, where targets are class numbers: many rows then agree.
    if targets.is_floating_point() or targets.numel() != outputs[..., 0].numel():
        return outputs
    return one_hot(targets.long().clamp(0, task.output_size - 1), task.output_size).view_as(outputs)


def _check_figure(subject: TaskSubject, name: str, value: object) -> None:
    if not isinstance(value, Tensor) or value.dim():
        shape = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
        raise BrokenError(f"a tensor of one number as {name}", shape, subject.place)
    # Tables show a figure of this name in per cent.
    if name == "accuracy" and not (value.isnan() or 0 <= value <= 1):
        look = f"Targets of another shape than it takes are broadcast. Look at {subject.place}."
        raise BrokenError("an accuracy from 0 to 1", f"{float(value):.6g}", look)


@contextmanager
def _judging(subject: TaskSubject, outputs: Tensor, targets: Tensor) -> Generator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=_BROADCASTS)
        try:
            yield
        except UserWarning as warning:
            if not str(warning).startswith(_BROADCASTS):
                raise
            raise _broadcast(subject, outputs, targets) from warning
        except PluginError as error:
            expected = "targets and figures as the engine takes them"
            raise BrokenError(expected, str(error), f"Look at {subject.place}.") from error


def _broadcast(subject: TaskSubject, outputs: Tensor, targets: Tensor) -> BrokenError:
    shapes = f"outputs of shape {tuple(outputs.shape)} and targets of shape {tuple(targets.shape)}"
    return BrokenError(
        "a loss of the outputs of each row and its own targets",
        f"{shapes}, which are broadcast: each row is judged by the targets of others",
        f"Numbers have the shape of the outputs. Look at batch or generate of {subject.place}.",
    )


LOSS_CHECKS: tuple[Check[TaskSubject], ...] = (
    Check("feedback", "targets and outputs are fed back in one form", check_feedback),
    Check("loss", "a scalar loss with a gradient", check_loss, decisive=True),
    Check("rows", "each row is judged by its own target", check_rows, decisive=True),
    Check("mean", "the loss is a mean over rows", check_mean),
    Check("metrics", "further figures are means over rows, by names of their own", check_metrics),
)
