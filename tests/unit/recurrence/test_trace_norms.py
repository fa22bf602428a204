"""Norms of gradients whose squares are no numbers of float32."""

import pytest
import torch

from rnnexp.recurrence import Trace, unroll
from rnnexp.recurrence.native.build import find_compiler
from rnnexp.registry import Registry


@pytest.mark.parametrize("size", [1e-30, 1e-23, 1.0, 1e25])
def test_norms_of_the_size_of_their_gradients(size: float) -> None:
    grad_TBH = torch.full((3, 2, 8), size)
    at_once, by_step = Trace(), Trace()
    at_once.note_all(grad_TBH)
    for t in range(3):
        by_step.note(t, 3, grad_TBH[t])
    for trace in (at_once, by_step):
        assert trace.grad_norm_T is not None
        assert trace.grad_norm_T.dtype == torch.float32
        torch.testing.assert_close(trace.grad_norm_T, torch.full((3,), 4 * size), rtol=1e-6, atol=0)


@pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler")
@pytest.mark.parametrize("size", [1e-25, 1.0, 1e12])
@pytest.mark.parametrize("threads", [1, 2])
def test_native_norms_are_those_of_the_loop(plugins: Registry, size: float, threads: int) -> None:
    cell = plugins.get("cell", "elman").cls(3, hidden_size=70)
    cell.weight_hh.data *= 0.2  # of norm 1e-20 after 30 steps
    inputs_TBI = torch.randn(60, 8, 3)
    weight_T = torch.tensor(
        [0.0] * 20 + [1e5] + [0.0] * 19 + [1.0] + [0.0] * 19
    )  # grows on the way
    found = {}
    torch.set_num_threads(threads)
    for backend in ("native", "loop"):
        trace = Trace()
        outputs_TBH = unroll(cell, inputs_TBI, backend=backend, trace=trace).outputs_TBH
        (outputs_TBH * (size * weight_T)[:, None, None]).sum().backward()
        assert trace.grad_norm_T is not None
        found[backend] = trace.grad_norm_T
    assert found["loop"][22] < 1e-9 * size
    assert found["loop"][0] > 0
    torch.testing.assert_close(found["native"], found["loop"], rtol=1e-4, atol=0)


@pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("leap", [1e-33, 1e33])
def test_native_norms_may_leap_within_a_step(
    plugins: Registry, leap: float, dtype: torch.dtype
) -> None:
    cell = plugins.get("cell", "elman").cls(3, hidden_size=7).to(dtype)
    cell.weight_hh.data *= 1e-30
    weight_T = torch.tensor([1.0, 1.0, leap, 1.0, 1.0], dtype=dtype)
    inputs_TBI = torch.randn(5, 2, 3, dtype=dtype)
    found = {}
    for backend in ("native", "loop"):
        trace = Trace()
        outputs_TBH = unroll(cell, inputs_TBI, backend=backend, trace=trace).outputs_TBH
        (outputs_TBH * weight_T[:, None, None]).sum().backward()
        assert trace.grad_norm_T is not None
        found[backend] = trace.grad_norm_T
    leaps_T = found["loop"] / found["loop"][[1]]
    assert leaps_T[2] > 1e30 or leaps_T[2] < 1e-25, "it does not leap"
    torch.testing.assert_close(found["native"], found["loop"], rtol=1e-5, atol=0)
