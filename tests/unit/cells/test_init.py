import math

import pytest
import torch

from rnnexp.cells.init import filled, init_input_, init_recurrent_

G, H, I = 3, 8, 5  # noqa: E741


def _blocks(how: str) -> torch.Tensor:
    torch.manual_seed(0)
    weight = torch.full((G * H, H), float("nan"))
    init_recurrent_(weight, how)
    return weight.view(G, H, H)


def test_orthogonal_keeps_norms_gate_by_gate() -> None:
    blocks = _blocks("orthogonal")
    eye = torch.eye(H).expand(G, H, H)
    torch.testing.assert_close(blocks @ blocks.mT, eye, rtol=0, atol=1e-5)
    assert not torch.equal(blocks[0], blocks[1])


def test_identity_and_zeros() -> None:
    assert torch.equal(_blocks("identity"), torch.eye(H).expand(G, H, H))
    assert torch.equal(_blocks("zeros"), torch.zeros(G, H, H))


def test_uniform_is_torchs_default() -> None:
    blocks, bound = _blocks("uniform"), H**-0.5
    assert bound * 0.9 < blocks.abs().max() <= bound
    assert abs(blocks.mean()) < bound / 4


@pytest.mark.parametrize("how", ["orthogonal", "identity", "uniform", "zeros"])
@pytest.mark.parametrize("cell", ["elman", "lstm", "gru", "leaky"])
def test_cell_takes_every_kind(plugins, cell: str, how: str) -> None:
    made = plugins.get("cell", cell).cls(I, hidden_size=H, recurrent_init=how)
    eye = torch.eye(H)
    for block in made.weight_hh.detach().split(H):
        kept = {"orthogonal": block @ block.T, "identity": block, "zeros": block + eye}.get(how)
        if kept is None:
            assert block.abs().max() <= H**-0.5
        else:
            torch.testing.assert_close(kept, eye, rtol=0, atol=1e-5)
    assert made.weight_hh.requires_grad


def test_input_weights_are_xavier_for_each_gate() -> None:
    torch.manual_seed(0)
    weight = torch.full((G * H, I), float("nan"))
    init_input_(weight, H)
    bound = math.sqrt(6 / (H + I))
    assert bound * 0.8 < weight.abs().max() <= bound


@pytest.mark.parametrize("value", [0.5, -3])
def test_filled_is_trainable(value: float) -> None:
    made = filled(3, value)
    assert made.tolist() == [value] * 3
    assert made.requires_grad
