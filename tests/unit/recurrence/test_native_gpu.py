"""The loops of the GPU equal the loop; on a machine without one, as `gpu_on_cpu` runs them."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell
from rnnexp.discovery import load_plugins
from rnnexp.recurrence import Trace
from rnnexp.recurrence.backends import BACKENDS
from rnnexp.recurrence.native import reason_against
from rnnexp.recurrence.native.build import BuildError
from rnnexp.recurrence.native.cuda import run
from rnnexp.recurrence.native.cuda.compiler import compile_source
from rnnexp.recurrence.native.cuda.function import unroll_on_gpu
from rnnexp.recurrence.native.cuda.geometry import Limits, ways_to_share
from rnnexp.recurrence.native.cuda.kernel import make_gpu_kernel
from rnnexp.recurrence.native.cuda.plan import Clusters, is_in_one_start, plan_of
from rnnexp.recurrence.native.cuda.steps import Steps, step_sizes
from rnnexp.registry import REGISTRY
from rnnexp.types import State

from .gpu_on_cpu import COMPILER, Machine
from .subjects import strided

pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")

load_plugins()
ONE_BLOCK = Limits(weights=64, threads=512, cluster=1, shared=48 << 10, number=8)
SMALL_BLOCKS = Limits(weights=16, threads=160, cluster=2, shared=48 << 10, number=8)
"""So few registers that a small R needs several threads per sum, and two blocks."""
NO_BLOCKS = Limits(weights=1, threads=0, cluster=1, shared=0, number=8)
HOPPER = Limits.of_gpu((9, 0), 227 << 10, 4)
CELLS = ("elman", "lstm", "gru", "ind_rnn")
RARE = [pytest.param(name, marks=pytest.mark.slow) for name in ("leaky", "star")]
"""They differ in all that the loops see: states, gates without R, parameters in `update`."""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path, ONE_BLOCK, multiprocessors=2)
    made.install(monkeypatch)
    return made


def cell_of(name: str, inputs: int, units: int) -> PointwiseCell:
    torch.manual_seed(0)
    return REGISTRY.get("cell", name).cls(inputs, hidden_size=units).double()


def results(
    cell: PointwiseCell, backend: str, shape: tuple[int, ...], trace: Trace | None = None
) -> dict[str, Tensor]:
    """Outputs, last state and all gradients of one run."""
    draw = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        drawn = torch.randn(*shape, generator=draw, dtype=torch.double)
        return drawn.to(cell.weight_ih).requires_grad_()

    x = normal(*shape, cell.input_size)
    first: State = tuple(normal(*shape[1:], cell.hidden_size) for _ in range(cell.num_states))
    if backend == "emulated":
        outputs, last = unroll_on_gpu(make_gpu_kernel(cell), cell, x, first, trace)
    else:
        outputs, last = BACKENDS[backend].run(cell, x, first, trace)
    loss = (outputs * normal(*outputs.shape).detach()).sum() + sum(s.square().sum() for s in last)
    names = {name: p for name, p in cell.named_parameters() if p.requires_grad}
    leaves = [x, *first, *names.values()]
    grads = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    of = ["x", *(f"state {i}" for i in range(len(first))), *names]
    found = {f"d {name}": grad for name, grad in zip(of, grads, strict=True)}
    return {"outputs": outputs, **{f"last {i}": s for i, s in enumerate(last)}, **found}


def assert_equal(cell: PointwiseCell, shape: tuple[int, ...]) -> None:
    norms = Trace(follows_last=True), Trace(follows_last=True)
    mine, theirs = (
        results(cell, "emulated", shape, norms[0]),
        results(cell, "loop", shape, norms[1]),
    )
    for name, expected in theirs.items():
        torch.testing.assert_close(mine[name], expected, rtol=1e-9, atol=1e-12, msg=name)
    assert norms[0].grad_norm_T is not None
    torch.testing.assert_close(norms[0].grad_norm_T, norms[1].grad_norm_T, rtol=1e-9, atol=0)
    entering = [trace.entering_norm_T for trace in norms]
    torch.testing.assert_close(entering[0], entering[1], rtol=1e-9, atol=0)
    if cell.moving_states(cell.num_states) == (0,):
        arriving = [trace.arriving_norm_T for trace in norms]
        torch.testing.assert_close(arriving[0], arriving[1], rtol=1e-9, atol=0)
    else:
        assert norms[0].arriving_norm_T is None


@pytest.mark.parametrize("name", [*CELLS, *RARE])
def test_all_steps_in_one_block(machine: Machine, name: str) -> None:
    assert_equal(cell_of(name, 3, 5), (4, 2))
    assert machine.used[0] == 2  # one for each row


@pytest.mark.parametrize("name", ["elman", "lstm", "gru", *RARE])
def test_step_by_step(machine: Machine, name: str) -> None:
    machine.limits = NO_BLOCKS
    assert_equal(cell_of(name, 3, 5), (4, 3))
    assert machine.used[2] == 0


@pytest.mark.parametrize(("name", "units"), [("elman", 39), ("lstm", 19), ("gru", 24)])
def test_two_blocks_share_the_units(machine: Machine, name: str, units: int) -> None:
    machine.limits = SMALL_BLOCKS
    assert_equal(cell_of(name, 2, units), (3, 3))
    assert machine.used[0] == 2  # all rows in one cluster


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("forward.cu", "(int)sizeof(real)", "(int)sizeof(real) + 4"),
        ("backward.cu", "(int)sizeof(real)", "(int)sizeof(real) - 8"),
        ("forward.cu", "(t - 1) / 2", "t / 2"),
        ("backward.cu", "done / 2", "t / 2"),
    ],
)
def test_a_wrong_hand_over_between_blocks_is_seen(
    machine: Machine, name: str, old: str, new: str
) -> None:
    machine.limits = SMALL_BLOCKS
    machine.edit(name, old, new)
    machine.edit("device.cu", "PATIENCE(20)", "PATIENCE(1)")
    with pytest.raises(AssertionError, match="bytes"):
        results(cell_of("elman", 2, 39), "emulated", (5, 3))


@pytest.mark.parametrize(("shape", "units"), [((1, 1), 1), ((2, 9), 7), ((3, 2, 3), 4)])
def test_shapes(machine: Machine, shape: tuple[int, ...], units: int) -> None:
    assert_equal(cell_of("lstm", 2, units), shape)
    if shape == (2, 9):
        assert machine.used[0] < 9


@pytest.mark.parametrize(("units", "fits"), [(64, True), (256, True), (300, False)])
def test_a_large_cell_goes_step_by_step(machine: Machine, units: int, fits: bool) -> None:
    machine.limits, machine.multiprocessors = HOPPER, 132
    kernel = make_gpu_kernel(cell_of("lstm", 1, units).float())
    assert is_in_one_start(units, 4, torch.float32, device=0) is fits
    assert isinstance(plan_of(kernel, 3, 0), Clusters if fits else Steps)


def test_without_clusters_one_block_has_all_units() -> None:
    ampere = Limits.of_gpu((8, 0), 163 << 10, 4)
    assert {way.cluster for way in ways_to_share(64, 4, ampere)} == {1}
    assert ways_to_share(128, 4, ampere) == ()


def test_where_no_cluster_fits_it_goes_step_by_step(machine: Machine) -> None:
    machine.limits, machine.multiprocessors = SMALL_BLOCKS, 1
    assert_equal(cell_of("elman", 2, 39), (3, 4))
    assert machine.used[2] == 0


@pytest.mark.parametrize(("refused", "rows"), [("#define ROWS 8", 6), ("#define CLUSTER", None)])
def test_what_cannot_be_built_is_done_otherwise(
    machine: Machine, refused: str, rows: int | None
) -> None:
    machine.refused, machine.multiprocessors = refused, 1
    assert_equal(cell_of("elman", 2, 4), (3, 8))
    blocks, _, shared = machine.used
    assert (shared == 0) if rows is None else (blocks == -(-8 // rows))


def test_a_cell_is_tried_with_the_way_that_all_rows_can_go(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "reason_against_gpu", lambda: None)
    machine.refused = step_sizes(make_gpu_kernel(cell_of("elman", 2, 7)))
    assert "cannot load" in str(run.reason_against(cell_of("elman", 2, 7)))
    machine.refused = None
    assert run.reason_against(cell_of("elman", 2, 7)) is None


def test_a_batch_without_rows(machine: Machine) -> None:
    for machine.limits in (ONE_BLOCK, NO_BLOCKS):
        assert_equal(cell_of("lstm", 2, 3), (2, 0))


def test_what_hooks_lay_out_anew_is_read_right(machine: Machine) -> None:
    del machine
    cell = cell_of("lstm", 2, 4)
    plain = results(cell, "emulated", (3, 2))
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), strided):
        hooked = results(cell, "emulated", (3, 2))
    for name, value in plain.items():
        torch.testing.assert_close(hooked[name], value, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("architecture", ["sm_75", "sm_90", "sm_120"])
@pytest.mark.parametrize("name", ["lstm", "gru", "ind_rnn"])
def test_nvrtc_takes_it(name: str, architecture: str) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="NVIDIA's compiler is not installed")
    kernel = make_gpu_kernel(cell_of(name, 2, 100).float())
    limits = Limits.of_gpu((9, 0) if architecture != "sm_75" else (7, 5), 64 << 10, 4)
    for way in ways_to_share(100, kernel.recurrent, limits)[:1]:
        assert compile_source(way.defines(4) + kernel.all_steps, architecture)
    assert compile_source(step_sizes(kernel) + kernel.each_step, architecture)


def test_what_nvrtc_refuses_is_said() -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="NVIDIA's compiler is not installed")
    with pytest.raises(BuildError, match='identifier "nonsense" is undefined'):
        compile_source("int x = nonsense;", "sm_90")


@pytest.mark.parametrize(("units", "recurrent"), [(1, 1), (64, 4), (128, 3), (256, 4), (900, 0)])
def test_every_unit_of_every_row_has_a_thread(units: int, recurrent: int) -> None:
    ways = ways_to_share(units, recurrent, HOPPER)
    assert [way.rows for way in ways] == sorted({way.rows for way in ways})
    assert ways[0].rows == 1
    for way in ways:
        assert way.owned * way.cluster >= units
        assert way.rows * way.owned <= way.threads <= HOPPER.threads
        assert recurrent == 0 or units <= way.forward_parts * HOPPER.weights
        assert recurrent * units <= way.backward_parts * HOPPER.weights


SIZES = [(1, 1, 3, 5), (7, 33, 2, 20), (5, 2, 4, 100), (4, 70, 3, 128), (3, 5, 2, 300)]
"""T, B, I, H: one block, several rows for each, clusters, step by step."""
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
POINTWISE = [
    name
    for name in REGISTRY.names("cell")
    if issubclass(REGISTRY.get("cell", name).cls, PointwiseCell)
]


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", POINTWISE)
def test_on_a_gpu(name: str, dtype: torch.dtype) -> None:
    for steps, rows, inputs, units in SIZES:
        torch.manual_seed(0)
        cell = REGISTRY.get("cell", name).cls(inputs, hidden_size=units).to("cuda", dtype)
        reason = reason_against(cell)
        if reason is not None:
            pytest.skip(reason)
        _assert_close_on_gpu(cell, (steps, rows), {torch.float32: 2e-4, torch.float64: 1e-9}[dtype])


def _assert_close_on_gpu(cell: PointwiseCell, shape: tuple[int, int], close: float) -> None:
    norms = Trace(), Trace()
    mine = results(cell, "native", shape, norms[0])
    theirs = results(cell, "loop", shape, norms[1])
    for key, expected in theirs.items():
        atol = close * max(1e-3, expected.abs().max().item())
        torch.testing.assert_close(mine[key], expected, rtol=close, atol=atol, msg=key)
    assert norms[0].grad_norm_T is not None
    torch.testing.assert_close(norms[0].grad_norm_T, norms[1].grad_norm_T, rtol=close, atol=0)
