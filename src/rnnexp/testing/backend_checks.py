"""The contract of a cell over time: backends, and the gradients that are shown of each step."""

import torch
from torch import Tensor

from rnnexp.cells import Cell, PointwiseCell
from rnnexp.recurrence import BACKENDS, Trace, unroll
from rnnexp.recurrence.backends import reason_against
from rnnexp.testing.batch_checks import keep_rows_apart
from rnnexp.testing.checks import BrokenError, Check, DoesNotApplyError
from rnnexp.testing.subject import B, CellSubject, I, T, gradients, random_state, run_all
from rnnexp.types import State

SHOWN_STEPS = 12
TOLERANCES = ((torch.float64, 1e-9), (torch.float32, 1e-4))


def check_backends(subject: CellSubject) -> str:
    """Every backend that can run the cell gives the outputs and gradients of its steps."""
    _repeats(subject)
    able: list[str] = []
    for name in BACKENDS:
        if reason_against(name, subject.make()) is not None:
            continue
        able.append(name)
        for dtype, tolerance in TOLERANCES:
            _compare(subject, name, dtype, tolerance)
    return f"runs on {', '.join(able)}{_why_not_fast(subject, able)}"


def _repeats(subject: CellSubject) -> None:
    # Else no backend would give the loop's outputs, nor would the loop: another check says so.
    cell = subject.make()
    x, state = torch.randn(T, B, I, dtype=torch.float64), random_state(cell, (B,))
    once, again = (run_all(cell, x, state)["outputs"] for _ in range(2))
    if not torch.equal(once, again):
        raise DoesNotApplyError("its outputs change from call to call")


def _why_not_fast(subject: CellSubject, able: list[str]) -> str:
    cell = subject.make()
    if not isinstance(cell, PointwiseCell) or "pointwise" in able:
        return ""
    reason = reason_against("pointwise", cell)
    mixes = reason is not None and "mixes units" in reason
    hint = " To run fast, make update elementwise, or, to mix units, subclass Cell."
    return f", slowly: {reason}{hint if mixes else ''}"


def _compare(subject: CellSubject, name: str, dtype: torch.dtype, tolerance: float) -> None:
    cell = subject.make(dtype)
    x, state = torch.randn(T, 2, B, I, dtype=dtype), random_state(cell, (2, B))
    found, wanted = run_all(cell, x, state, name), run_all(cell, x, state)
    for what, tensor in wanted.items():
        if tensor.numel() == 0:  # a state without numbers
            continue
        scale = max(1.0, float(tensor.detach().abs().max()))
        worst = float((found[what] - tensor).detach().abs().max()) / scale
        if not worst <= tolerance:
            keep_rows_apart(subject)
            raise BrokenError(
                f"backend {name} to give the {what} of step, called at each t ({dtype})",
                f"a relative difference of {worst:.3g}",
                f"If step is right, this is a bug of rnnexp: please report it. {subject.place}.",
            )


def check_trace(subject: CellSubject) -> None:
    """dL/dh_t as it is recorded is the gradient of each output, or state, as gradient_of says."""
    _repeats(subject)
    cell, trace = subject.make(), Trace()
    x = torch.randn(T, B, I, dtype=torch.float64, requires_grad=True)  # a reservoir has no other
    state, outputs, shown = cell.initial_state((B,)), list[Tensor](), list[Tensor]()
    for x_BI in x:
        out_BH, state = cell.step(x_BI, state)
        outputs.append(out_BH)
        shown.append(_shown(cell, out_BH, state))
    weight = torch.randn(T, *outputs[0].shape, dtype=torch.float64)
    wanted = gradients((torch.stack(outputs) * weight).sum(), shown)
    (unroll(cell, x, trace=trace).outputs_TBH * weight).sum().backward()
    norms = torch.stack([torch.linalg.vector_norm(grad) for grad in wanted])
    if trace.grad_norm_T is None or not torch.allclose(trace.grad_norm_T, norms, rtol=1e-9):
        keep_rows_apart(subject)
        raise BrokenError(
            f"||dL/dh_t|| of {[round(float(n), 6) for n in norms]}",
            f"{trace.grad_norm_T}",
            f"The output of a step must be what the next step reads of h. {subject.place}.",
        )


def check_gradient_of(subject: CellSubject) -> None:
    """Where a gradient comes back to the first state, dL/dh_1 as it is recorded is not zero."""
    cell = subject.make(hidden_size=8)
    x = torch.randn(SHOWN_STEPS, B, I, dtype=torch.float64, requires_grad=True)
    out_BH, first = cell.step(x[0], cell.initial_state((B,)))
    shown, state = _shown(cell, out_BH, first), first
    for x_BI in x[1:]:
        out_BH, state = cell.step(x_BI, state)
    loss = out_BH.square().sum()
    if any(_reaches(loss, s) for s in first) and not _reaches(loss, shown):
        raise BrokenError(
            f"a gradient of what is shown as h_1, by a loss on the output of step {SHOWN_STEPS}",
            f"none, by gradient_of={cell.gradient_of!r}, where the state of step 1 has one",
            f"Set gradient_of = 'state', and make the memory that the output is read off the first "
            f"of the state. {subject.place}.",
        )


def _shown(cell: Cell, out_BH: Tensor, state: State) -> Tensor:
    return state[0] if cell.gradient_of == "state" else out_BH


def _reaches(loss: Tensor, tensor: Tensor) -> bool:
    if not (loss.requires_grad and tensor.requires_grad):  # the count of a clock has no gradient
        return False
    (grad,) = torch.autograd.grad(
        loss, tensor, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return bool(grad.any())


BACKEND_CHECKS: tuple[Check[CellSubject], ...] = (
    Check("backends", "all backends equal its steps, one by one", check_backends, 1.0),
    Check("trace", "dL/dh_t is recorded right", check_trace),
    Check("gradient_of", "dL/dh_t is that of what carries the past", check_gradient_of),
)
