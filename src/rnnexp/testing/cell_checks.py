"""The contract of a cell, promise by promise: one step, as code and as numbers."""

import copy
import io
import pickle
import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError

from rnnexp.cells import Cell
from rnnexp.options import REQUIRED
from rnnexp.testing.batch_checks import BATCH_CHECKS
from rnnexp.testing.calls import value_read
from rnnexp.testing.checks import (
    BrokenError,
    Check,
    DoesNotApplyError,
    check_options_kept,
    check_summary,
)
from rnnexp.testing.jump_checks import JUMP_CHECKS
from rnnexp.testing.repeat_checks import REPEAT_CHECKS
from rnnexp.testing.shape_checks import check_shapes
from rnnexp.testing.subject import B, CellSubject, I, as_leaf, check_equal, flat, random_state
from rnnexp.types import State


def check_words(subject: CellSubject) -> None:
    """A person can find out what the cell is, from its docstring and its options."""
    entry = subject.entry
    look = f"See the docstring of {subject.place}."
    check_summary(entry, look)
    if not entry.equation:
        raise BrokenError("an equation, indented, before Args:", "none", look)
    for option in entry.options:
        if not option.doc:
            raise BrokenError(f"a line on {option.name} under Args:", "none", look)
        if option.default == REQUIRED:
            raise BrokenError(f"a default for {option.name}", "none", "A cell must run as it is.")


def check_options(subject: CellSubject) -> None:
    """The constructor leaves its options alone."""
    check_options_kept(subject.entry, subject.construct)


def check_device(subject: CellSubject) -> None:
    """No tensor is made on a fixed device: the cell runs where its weights are."""
    # In training, where more may be made; on a device without numbers, on any machine.
    cell = subject.make(torch.float32).train().to("meta")
    state = cell.initial_state((B,))
    try:
        tensors = [*state, *flat(cell.step(torch.empty(B, I, device="meta"), state))]
    except (RuntimeError, NotImplementedError) as error:
        if "item()" in str(error):
            raise DoesNotApplyError("it looks at values, and this device has none") from error
        raise BrokenError(
            "a step on the weights' own device",
            f"{type(error).__name__}: {str(error).splitlines()[0]}",
            f"Make tensors by x.new_zeros, zeros_like or self.zeros, and keep constants as "
            f"buffers. {subject.place}.",
        ) from error
    wrong = {str(t.device) for t in tensors} - {"meta"}
    if wrong:
        raise BrokenError(
            "every tensor on the device of the weights", f"some on {wrong}", subject.place
        )


def check_gradient(subject: CellSubject) -> None:
    """The derivative of a step is that of finite differences, in double precision."""
    cell = subject.make()
    if cell.surrogate_gradient:
        raise DoesNotApplyError("its gradient is a surrogate, as surrogate_gradient says")
    x = torch.randn(B, I, dtype=torch.float64, requires_grad=True)
    state = [as_leaf(s) for s in random_state(cell, (B,))]
    weights = {n: p for n, p in cell.named_parameters() if p.requires_grad}

    def step(x_BI: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(weights, rest[len(state) :], strict=True))
        out, new = _step_with(cell, named, x_BI, tuple(rest[: len(state)]))
        return (out, *new)

    try:
        torch.autograd.gradcheck(step, (x, *state, *weights.values()))
    except GradcheckError as error:
        raise BrokenError(
            "derivatives equal to finite differences",
            str(error).strip().splitlines()[0],
            "Is something detached, rounded, or not differentiable? Where that is meant, as of a "
            f"spike, state surrogate_gradient = True in the class. {subject.place}.",
        ) from error


class _Step(nn.Module):
    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        return self.cell.step(x_BI, state)


def _step_with(
    cell: Cell, weights: Mapping[str, Tensor], x_BI: Tensor, state: State
) -> tuple[Tensor, State]:
    named = {f"cell.{name}": weight for name, weight in weights.items()}
    return torch.func.functional_call(_Step(cell), named, (x_BI, state))


def check_clocks(subject: CellSubject) -> str | None:
    """clock_states are tensors of the state, and count steps whatever else there is."""
    cell = subject.make()
    if not cell.clock_states:
        return "it names none"
    one, other = (random_state(cell, (B,)) for _ in range(2))
    look = f"Look at clock_states and step of {subject.place}."
    if not set(cell.clock_states) <= set(range(len(one))):
        raise BrokenError(f"clock_states among 0..{len(one) - 1}", f"{cell.clock_states}", look)
    mixed = tuple((one if i in cell.clock_states else other)[i] for i in range(len(one)))
    news = [cell.step(torch.randn(B, I, dtype=torch.float64), s)[1] for s in (one, mixed)]
    if any(not torch.equal(news[0][i], news[1][i]) for i in cell.clock_states):
        raise BrokenError("a clock that goes by itself", "one moved by inputs or states", look)
    return None


def check_seed(subject: CellSubject) -> str | None:
    """A seed gives one cell; another seed gives another, unless its weights are constants."""
    one, drawn_0 = _made(subject, 0)
    two, _ = _made(subject, 0)
    other, drawn_1 = _made(subject, 1)
    if torch.equal(drawn_0, drawn_1):
        raise BrokenError(
            "torch's generator left to the seed of the run",
            "a constructor that sets torch's global seed",
            f"Draw fixed numbers from a torch.Generator of your own. {subject.place}.",
        )
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    if not all(torch.equal(a, b) for a, b in pairs):
        raise BrokenError("the same weights from the same seed", "others", subject.place)
    drawn = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    same = all(torch.equal(a, b) for a, b in drawn)
    return "its initial weights are constants" if same else None


def _made(subject: CellSubject, seed: int) -> tuple[Cell, Tensor]:
    # A cell, and where torch's generator stands after it.
    return subject.make(seed=seed, moved=0.0), torch.get_rng_state()


def check_saved(subject: CellSubject) -> None:
    """state_dict carries the whole cell into another one."""
    cell, other = subject.make(), subject.make(seed=1)
    buffer = io.BytesIO()
    torch.save(cell.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    _steps_alike(cell, other, "a cell with loaded weights that computes the same", subject)


def check_copied(subject: CellSubject) -> None:
    """Copies, deep and pickled, compute the same."""
    cell = subject.make()
    _steps_alike(cell, copy.deepcopy(cell), "a deep copy that computes the same", subject)
    if any(nn.utils.parametrize.is_parametrized(module) for module in cell.modules()):
        raise DoesNotApplyError("torch does not pickle parametrized modules; deep copies are fine")
    again = pickle.loads(pickle.dumps(cell))
    _steps_alike(cell, again, "a pickled cell that computes the same", subject)


def _steps_alike(one: Cell, two: Cell, expected: str, subject: CellSubject) -> None:
    x, state = torch.randn(B, I, dtype=torch.float64), random_state(one, (B,))
    for a, b in zip(flat(one.step(x, state)), flat(two.step(x, state)), strict=True):
        if not torch.equal(a, b):
            raise BrokenError(
                expected,
                "another output",
                f"Keep numbers that matter as parameters or buffers. {subject.place}.",
            )


def check_compiles(subject: CellSubject) -> None:
    """torch.compile can take a step as one graph."""
    cell = subject.make(torch.float32)
    x, state = torch.randn(B, I), random_state(cell, (B,))
    torch.compiler.reset()
    compiled = torch.compile(cell.step, backend="eager", fullgraph=True)
    wanted = flat(cell.step(x, state))
    try:
        found = flat(compiled(x, state))
    except Exception as error:  # whatever torch raises
        raise _not_one_graph(subject, str(error)) from error
    for a, b in zip(found, wanted, strict=True):
        check_equal(a, b, 1e-5, "the compiled step to give the same", subject)


def _not_one_graph(subject: CellSubject, said: str) -> BrokenError:
    # Of torch's words, which fill a page, the first line; and the last line of the plugin in them.
    expected = "a step that is one graph, whatever the values are"
    read = value_read(subject)
    if read is not None:
        return BrokenError(expected, "another way for other values", read)
    lines = re.findall(rf'File "{re.escape(str(subject.entry.file))}", line (\d+)', said)
    place = f"{subject.entry.file}:{lines[-1]}" if lines else subject.place
    return BrokenError(expected, said.partition("\n")[0], f"Look at {place}.")


STEP_CHECKS: tuple[Check[CellSubject], ...] = (
    Check("words", "the docstring says what it is, options have texts and defaults", check_words),
    Check("options", "the constructor leaves its options as they are", check_options),
    Check("shapes", "shapes and types, with any leading axes", check_shapes, decisive=True),
    *REPEAT_CHECKS,
    Check("device", "no tensor is made on a fixed device", check_device),
    Check("gradient", "gradcheck in double precision", check_gradient, 0.5),
    *BATCH_CHECKS,
    *JUMP_CHECKS,
    Check("clocks", "clock_states count steps and nothing else", check_clocks),
    Check("seed", "one seed, one cell", check_seed),
    Check("saved", "state_dict carries it", check_saved),
    Check("copied", "copies and pickles", check_copied),
    Check("compiles", "torch.compile takes a step as one graph", check_compiles, 1.0),
)
