"""Both directions of time, against torch's own on packed sequences of different lengths."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnexp.errors import ConfigError
from rnnexp.recurrence import RecurrentNetwork
from rnnexp.registry import Registry

T, B, I, H, O = 6, 4, 3, 5, 2  # noqa: E741
LENGTHS = torch.tensor([4, 6, 1, 3])


@pytest.fixture
def pair(plugins: Registry) -> Any:
    """A network of ours and an nn.LSTM of the same weights."""

    def build(layers: int, readout: Any, **options: Any) -> tuple[RecurrentNetwork, nn.LSTM]:
        torch.manual_seed(0)
        cls = plugins.get("cell", "lstm").cls
        ours = RecurrentNetwork(
            lambda size: cls(size, hidden_size=H),
            I,
            O,
            layers=layers,
            readout=readout,
            bidirectional=True,
            **options,
        ).double()
        theirs = nn.LSTM(I, H, num_layers=layers, bidirectional=True).double()
        for i, cell in enumerate(ours.layers):
            suffix = f"l{i // 2}" + ("_reverse" if i % 2 else "")
            with torch.no_grad():
                for name in ("weight_ih", "weight_hh", "bias_ih"):
                    getattr(theirs, f"{name}_{suffix}").copy_(getattr(cell, name))
                getattr(theirs, f"bias_hh_{suffix}").zero_()
        return ours, theirs

    return build


def run_theirs(theirs: nn.LSTM, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    outputs, (h, _) = theirs(packed)
    return pad_packed_sequence(outputs, total_length=T)[0], h


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("backend", ["auto", "loop", "pointwise", "vendor"])
@pytest.mark.parametrize("lengths", [LENGTHS, None])
def test_parity_at_every_step(pair: Any, layers: int, backend: str, lengths: Any) -> None:
    ours, theirs = pair(layers, "every_step", backend=backend)
    x = torch.randn(T, B, I, dtype=torch.float64, requires_grad=True)
    all_lengths = torch.full((B,), T) if lengths is None else lengths
    hidden, h = run_theirs(theirs, x, all_lengths)
    valid = (torch.arange(T).unsqueeze(1) < all_lengths).unsqueeze(-1)
    wanted = torch.where(valid, ours.readout(hidden), 0)
    found, state = ours(x, lengths_B=lengths)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(torch.stack([s[0] for s in state.layers]), h)
    cotangent = torch.randn_like(wanted)
    weights = [cell.weight_hh for cell in ours.layers]
    twins = [getattr(theirs, n) for n in theirs._flat_weights_names if n.startswith("weight_hh")]
    a = torch.autograd.grad(found, (x, *weights), cotangent)
    b = torch.autograd.grad(wanted, (x, *twins), cotangent)
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_last_joins_what_each_direction_knows_at_its_end(pair: Any) -> None:
    ours, theirs = pair(2, "last")
    x = torch.randn(T, B, I, dtype=torch.float64)
    _, h = run_theirs(theirs, x, LENGTHS)
    found, _ = ours(x, lengths_B=LENGTHS)
    torch.testing.assert_close(found, ours.readout(torch.cat([h[2], h[3]], -1)))


def test_one_direction_keeps_its_weights(plugins: Registry) -> None:
    cls = plugins.get("cell", "gru").cls
    one = RecurrentNetwork(lambda size: cls(size, hidden_size=H), I, O, layers=2)
    assert [cell.input_size for cell in one.layers] == [I, H]
    two = RecurrentNetwork(
        lambda size: cls(size, hidden_size=H), I, O, layers=2, bidirectional=True
    )
    assert [cell.input_size for cell in two.layers] == [I, I, 2 * H, 2 * H]
    assert two.readout.in_features == 2 * H


def test_feedback_is_refused_in_words(plugins: Registry) -> None:
    cls = plugins.get("cell", "gru").cls
    with pytest.raises(ConfigError, match="bidirectional: cannot go with feedback"):
        RecurrentNetwork(
            lambda size: cls(size, hidden_size=H), I, O, bidirectional=True, feedback=True
        )
