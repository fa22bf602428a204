"""The contract of a cell over time: its path through time, learning, speed."""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rnnexp.cells import Cell, MatrixCell
from rnnexp.errors import ConfigError
from rnnexp.recurrence import RecurrentNetwork, Trace, unroll
from rnnexp.testing.backend_checks import BACKEND_CHECKS
from rnnexp.testing.checks import BrokenError, Check, DoesNotApplyError
from rnnexp.testing.cost import multiply_adds
from rnnexp.testing.subject import (
    B,
    CellSubject,
    I,
    T,
    gradients,
    is_derived,
    random_state,
    run_all,
)

FLOW_STEPS = 200
_GATE_STEPS = 20
_STACKED = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""Parameters of a `MatrixCell` with a block of rows for each gate."""
ADDING_STEPS, ADDING_BASELINE = 20, 1 / 6


def check_parameters(subject: CellSubject) -> None:
    """Every parameter, and every gate of one, has a gradient: none is left over."""
    cell = subject.make()
    trained = {name: p for name, p in cell.named_parameters() if p.requires_grad}
    if not trained:
        raise DoesNotApplyError("nothing in it is trained")
    x = torch.randn(T, B, I, dtype=torch.float64)
    unroll(cell, x, random_state(cell, (B,)), backend="loop").outputs_TBH.sum().backward()
    idle = [name for name, p in trained.items() if p.grad is None or not p.grad.any()]
    if idle:
        raise BrokenError(
            "a gradient for every parameter",
            f"none for {', '.join(idle)}",
            f"Use it, or do not make it; constants are buffers. {subject.place}.",
        )
    if isinstance(cell, MatrixCell):
        _check_gates(cell, subject)


def _check_gates(cell: MatrixCell, subject: CellSubject) -> None:
    # Long, and with the last state: a product may be carried for some steps before it is used.
    # Large too: a gate that is closed at the start, flatly as by a relu, opens to some inputs.
    x = torch.randn(_GATE_STEPS, B, I, dtype=torch.float64)
    x *= torch.logspace(0, 1, B, dtype=torch.float64).unsqueeze(-1)
    grads = run_all(cell, x, random_state(cell, (B,)), "loop")
    idle: dict[int, list[str]] = {}
    for name in _STACKED:
        grad = grads.get(f"dL/d({name})")
        if grad is None or len(grad) % cell.hidden_size:  # not made, or made otherwise
            continue
        for gate, block in enumerate(grad.split(cell.hidden_size)):
            if not block.any():
                idle.setdefault(gate, []).append(name)
    for gate, names in idle.items():
        raise BrokenError(
            "a gradient for every gate",
            f"gate {gate} of {cell.num_gates} (counted from 0) has none in {', '.join(names)}",
            "Is it used, and neither rounded nor detached? Use it, or state a smaller num_gates; "
            f"num_recurrent where only the first gates have an R. Look at {subject.place}.",
        )


def check_hidden_path(subject: CellSubject) -> None:
    """recurs_through says whether there is a hidden-to-hidden path."""
    cell = subject.make()
    empty = cell.initial_state((B,)) == ()
    if (cell.recurs_through == "output") != empty:
        raise BrokenError(
            "an empty state exactly where recurs_through is 'output'",
            f"recurs_through={cell.recurs_through!r}, {'no' if empty else 'a'} state",
            subject.place,
        )
    _check_advances(cell, subject)


def _check_advances(cell: Cell, subject: CellSubject) -> None:
    first = state = random_state(cell, (B,))
    for x_BI in torch.randn(T, B, I, dtype=torch.float64):
        _, state = cell.step(x_BI, state)
    own = [i for i, s in enumerate(first) if is_derived(s) and i not in cell.clock_states]
    if own and all(torch.equal(first[i], state[i]) for i in own):
        raise BrokenError(
            f"a state that is another after {T} steps",
            "the one that the first step was given",
            f"Return what the next step is to start from: the new h, as in `return new_BH, "
            f"(new_BH,)`. Look at step of {subject.place}.",
        )


def check_flow(subject: CellSubject) -> str:
    """Say what becomes of the gradient over 200 steps at initialisation: a fact, no verdict."""
    cell, trace = subject.make(moved=0.0, hidden_size=32), Trace()
    if cell.recurs_through == "output":
        raise DoesNotApplyError("it has no path through time")
    x = torch.randn(FLOW_STEPS, B, I, dtype=torch.float64, requires_grad=True)
    unroll(cell, x, trace=trace).outputs_TBH[-1].square().sum().backward()
    if trace.grad_norm_T is None:
        raise DoesNotApplyError("nothing flows back")
    first, last = float(trace.grad_norm_T[0]), _last_that_has_one(trace.grad_norm_T)
    if not (math.isfinite(first) and math.isfinite(last)):
        raise BrokenError(
            f"a finite gradient over {FLOW_STEPS} steps at initialisation",
            f"||dL/dh_1|| = {first}",
            f"Draw smaller or orthogonal recurrent weights. {subject.place}.",
        )
    if last == 0:
        raise DoesNotApplyError("no step has a gradient")
    decades = math.log10(max(first, 1e-300) / last)
    word = "vanishes" if decades < -1 else "explodes" if decades > 1 else "keeps"
    return f"{word}: log10 ||dL/dh_1|| / ||dL/dh_{FLOW_STEPS}|| = {decades:.1f}"


def _last_that_has_one(grad_norm_T: Tensor) -> float:
    # An output that is made of the state before the step leaves the last state without a gradient.
    nonzero_T = grad_norm_T[grad_norm_T != 0]
    return float(nonzero_T[-1]) if len(nonzero_T) else 0.0


def check_learning(subject: CellSubject) -> str:
    """It learns the adding problem over 20 steps better than a guess, within a small budget."""
    cell = subject.make()
    if cell.recurs_through == "output":
        raise DoesNotApplyError("it has no state; what it remembers is fed back by the model")
    if not _reads(cell):
        raise DoesNotApplyError("it does not read its input")
    reached = math.inf
    for lr in (0.01, 0.003):
        steps, error = _learn(subject, lr)
        reached = min(reached, error)
        if reached < _GOAL:
            return f"error {reached:.3f} after {steps} steps, a guess has {ADDING_BASELINE:.3f}"
    raise BrokenError(
        f"a validation error below {_GOAL:.3f} after {_BUDGET} steps",
        f"{reached:.3f}",
        f"Look at initial values: forget biases, time scales, the scale of R. {subject.place}.",
    )


_BUDGET, _LOOK_EVERY = 2000, 100
_GOAL = 0.9 * ADDING_BASELINE


def _reads(cell: Cell) -> bool:
    x = torch.randn(T, B, I, dtype=torch.float64, requires_grad=True)
    outputs_TBH = unroll(cell, x, random_state(cell, (B,)), backend="loop").outputs_TBH
    return bool(gradients(outputs_TBH.sum(), [x])[0].any())


def _learn(subject: CellSubject, lr: float) -> tuple[int, float]:
    torch.manual_seed(0)

    def make(size: int) -> Cell:
        return subject.entry.cls(size, hidden_size=subject.units(32))

    network = RecurrentNetwork(make, 2, 1, readout="last")
    weights = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=lr)
    rng = torch.Generator().manual_seed(1)
    error = math.inf
    for step in range(1, _BUDGET + 1):
        inputs, sums = _adding(32, rng)
        optimizer.zero_grad()
        nn.functional.mse_loss(network(inputs)[0], sums).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if step % _LOOK_EVERY == 0:
            error = _error(network.eval(), rng)
            network.train()
            if error < _GOAL:
                return step, error
    return _BUDGET, error


@torch.no_grad()
def _error(network: RecurrentNetwork, rng: torch.Generator) -> float:
    inputs, sums = _adding(1024, rng)
    return float(nn.functional.mse_loss(network(inputs)[0], sums))


def _adding(rows: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    u_TB = torch.rand(ADDING_STEPS, rows, generator=rng)
    marked_2B = torch.rand(ADDING_STEPS, rows, generator=rng).topk(2, dim=0).indices
    mask_TB = torch.zeros_like(u_TB).scatter_(0, marked_2B, 1.0)
    return torch.stack([u_TB, mask_TB], -1), (u_TB * mask_TB).sum(0).unsqueeze(-1)


def check_speed(subject: CellSubject) -> str:
    """Say how long a forward and backward pass takes beside nn.LSTM, at equal multiply-adds."""
    cell = subject.make(torch.float32, input_size=2, hidden_size=64, moved=0.0).train()
    lstm = nn.LSTM(2, 64)
    trained = any(p.requires_grad for p in cell.parameters())
    x = torch.randn(50, 32, 2, requires_grad=not trained)  # a reservoir has no other gradient
    mine = _fastest(lambda: unroll(cell, x).outputs_TBH.sum().backward())
    peer = _fastest(lambda: lstm(x)[0].sum().backward())
    work = multiply_adds(cell) / (4 * 64 * (2 + 64))
    if work == 0:
        raise DoesNotApplyError("it multiplies nothing")
    return f"{mine / peer:.2f} of nn.LSTM's time, {mine / peer / work:.2f} at equal multiply-adds"


def _fastest(run: Callable[[], object]) -> float:
    times: list[float] = []
    for _ in range(6):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return min(times)


def check_refusals(subject: CellSubject) -> None:
    """Impossible sizes are refused in words."""
    try:
        subject.entry.cls(I, hidden_size=0)
    except ConfigError:
        return
    except Exception as error:  # whatever it is, a person should not have to read it
        seen = f"{type(error).__name__}: {error}"
    else:
        seen = "a cell without units"
    raise BrokenError(
        "hidden_size=0 to be refused with a ConfigError",
        seen,
        f"Call super().__init__(input_size, ...) first. {subject.place}.",
    )


TIME_CHECKS: tuple[Check[CellSubject], ...] = (
    Check("refusals", "impossible sizes are refused in words", check_refusals),
    Check("parameters", "every parameter and gate is used", check_parameters),
    Check("hidden_path", "recurs_through tells the truth", check_hidden_path),
    *BACKEND_CHECKS,
    Check("flow", "the gradient over 200 steps at initialisation", check_flow, 0.3),
    Check("learning", "learns adding over 20 steps better than a guess", check_learning, 4.0),
    Check("speed", "time of a forward and backward pass", check_speed, 0.5),
)
