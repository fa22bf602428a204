"""Cells in threads, under transforms and modes of torch, and what these must not change."""

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import pytest
import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn.utils import prune

from rnnexp.errors import ConfigError
from rnnexp.recurrence import BACKENDS, RecurrentNetwork, unroll
from rnnexp.recurrence.backends import reason_against
from rnnexp.recurrence.unroll import choose_backend
from rnnexp.registry import Registry

from .subjects import cell_of


@pytest.mark.parametrize("name", ["gru", "leaky", "star"])
def test_the_first_runs_may_be_of_several_threads(plugins: Registry, name: str) -> None:
    torch.manual_seed(0)
    inputs_TBI = torch.randn(4, 2, 3)
    # A size of its own: no twin of it has been examined.
    cell = plugins.get("cell", name).cls(3, hidden_size=23)

    def gradient(_: int) -> Tensor:
        loss = unroll(cell, inputs_TBI).outputs_TBH.square().sum()
        return torch.autograd.grad(loss, cell.weight_hh)[0]

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(gradient, range(8)))
    loss = unroll(cell, inputs_TBI, backend="loop").outputs_TBH.square().sum()
    wanted = torch.autograd.grad(loss, cell.weight_hh)[0]
    for grad in found:
        torch.testing.assert_close(grad, wanted, rtol=1e-4, atol=1e-6)
    alone = plugins.get("cell", name).cls(3, hidden_size=24)
    assert choose_backend(cell) == choose_backend(alone), "none was denied for the others' sake"


@pytest.mark.parametrize("name", ["elman", "gru", "lstm", "mgu"])
def test_vmap_goes_over_a_cell(plugins: Registry, name: str) -> None:
    cell = plugins.get("cell", name).cls(3, hidden_size=4)
    inputs_NTBI = torch.randn(5, 4, 2, 3)
    found = vmap(lambda x_TBI: unroll(cell, x_TBI).outputs_TBH)(inputs_NTBI)
    wanted = torch.stack([unroll(cell, x_TBI).outputs_TBH for x_TBI in inputs_NTBI])
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", ["elman", "lstm", "mgu", "lru"])
def test_a_cell_that_was_made_in_inference_mode_runs(plugins: Registry, name: str) -> None:
    with torch.inference_mode():
        cell = plugins.get("cell", name).cls(3, hidden_size=4)
        inputs_TBI = torch.randn(4, 2, 3)
        found = unroll(cell, inputs_TBI).outputs_TBH
        torch.testing.assert_close(found, unroll(cell, inputs_TBI, backend="loop").outputs_TBH)
        if name in ("elman", "lstm"):
            for backend in ("native", "pointwise"):
                with pytest.raises(ConfigError, match=r"made under torch\.inference_mode"):
                    unroll(cell, inputs_TBI, backend=backend)


@pytest.mark.parametrize("backend", ["native", "pointwise"])
def test_a_cell_may_be_met_first_in_an_evaluation(plugins: Registry, backend: str) -> None:
    # A size of its own: no twin of it has been examined.
    cell = plugins.get("cell", "gru").cls(3, hidden_size={"native": 25, "pointwise": 26}[backend])
    with torch.inference_mode():
        found = unroll(cell, torch.ones(4, 2, 3), backend=backend)
    assert found.backend == backend
    assert torch.autograd.grad(unroll(cell, torch.ones(4, 2, 3)).outputs_TBH.sum(), cell.weight_hh)


def test_a_network_can_be_pickled(plugins: Registry) -> None:
    make = plugins.get("cell", "elman").cls
    network = RecurrentNetwork(make, 3, 2, feedback=True)
    assert "encode_output" not in repr(network)
    state = pickle.loads(pickle.dumps(network)).state_dict()
    assert state.keys() == network.state_dict().keys()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lru_runs_under_autocast(plugins: Registry, dtype: torch.dtype) -> None:
    cell = plugins.get("cell", "lru").cls(3, hidden_size=4)
    inputs_TBI = torch.randn(6, 2, 3)
    wanted = unroll(cell, inputs_TBI).outputs_TBH
    with torch.autocast("cpu", dtype):
        for backend in ("scan", "loop"):
            outputs_TBH = unroll(cell, inputs_TBI, backend=backend).outputs_TBH
            outputs_TBH.sum().backward()
            torch.testing.assert_close(outputs_TBH.float(), wanted, rtol=0.05, atol=0.05)


def test_a_cell_that_cannot_be_copied_runs() -> None:
    cell = cell_of(lambda c, wx, rh, s: ((wx + rh).sum(-2).cumsum(-1).tanh(),))
    cell.lock = Lock()
    assert unroll(cell, torch.zeros(2, 3, 4)).backend == "loop"
    assert "cannot pickle '_thread.lock'" in str(reason_against("pointwise", cell))


@pytest.mark.parametrize("name", ["elman", "gru", "lstm", "min_gru", "lru", "jordan"])
def test_under_autocast_outputs_and_state_are_of_the_weights_type(
    plugins: Registry, name: str
) -> None:
    cell = plugins.get("cell", name).cls(3, hidden_size=4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        able = [backend for backend in BACKENDS if reason_against(backend, cell) is None]
        runs = [unroll(cell, torch.randn(4, 2, 3), backend=backend) for backend in able]
    assert {t.dtype for run in runs for t in (run.outputs_TBH, *run.state)} == {torch.float32}


def _nothing(cell: nn.Module, given: object) -> None:
    del cell, given


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize(
    "hook", [nn.utils.spectral_norm, nn.utils.weight_norm, prune.random_unstructured]
)
def test_weights_that_are_made_where_the_cell_is_called_are_refused(
    plugins: Registry, hook: Callable[..., object]
) -> None:
    cell = plugins.get("cell", "lstm").cls(3, hidden_size=4)
    cell.register_forward_pre_hook(_nothing)
    unroll(cell, torch.randn(4, 2, 3))
    hook(cell, "weight_hh", **({"amount": 0.5} if hook is prune.random_unstructured else {}))
    with pytest.raises(ConfigError, match=r"LSTM: torch\.nn\.utils\.\w+ .*parametrizations"):
        unroll(cell, torch.randn(4, 2, 3))
