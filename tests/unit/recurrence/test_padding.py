"""What stands beyond the end of a row changes nothing, whatever it is."""

import pytest
import torch

from rnnexp.errors import ConfigError, NonFiniteError
from rnnexp.recurrence import Feed, RecurrentNetwork, unroll
from rnnexp.registry import Registry

FEEDS = {"teacher": Feed.teacher(), "free": Feed.free(), "scheduled": Feed.scheduled(0.5)}


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("readout", ["every_step", "last"])
def test_padding_that_is_no_number(plugins: Registry, feed: str, readout: str) -> None:
    make = plugins.get("cell", "gru").cls
    torch.manual_seed(0)
    network = RecurrentNetwork(
        lambda size: make(size, hidden_size=4), 2, 3, feedback=True, readout=readout
    )
    lengths_B = torch.tensor([5, 2, 3])
    beyond_TB = torch.arange(5).unsqueeze(1) >= lengths_B
    x_TBI, y_TBO = torch.randn(5, 3, 2), torch.randn(5, 3, 3)
    found = []
    for filler in (0.0, torch.nan, torch.inf):
        x_TBI[beyond_TB], y_TBO[beyond_TB] = filler, filler
        torch.manual_seed(1)
        words = {"targets_TBO": y_TBO, "feed": FEEDS[feed], "lengths_B": lengths_B}
        outputs, state = network(x_TBI, **words)
        grads = torch.autograd.grad(outputs.sum(), list(network.parameters()))
        found.append([outputs, *state.layers[0], *grads])
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_lengths_of_few_bits(plugins: Registry, dtype: torch.dtype) -> None:
    cell = plugins.get("cell", "gru").cls(2, hidden_size=4)
    x_TBI, lengths = torch.randn(300, 3, 2), [44, 100, 7]  # 300 = 256 + 44
    wanted = unroll(cell, x_TBI, lengths_B=torch.tensor(lengths))
    found = unroll(cell, x_TBI, lengths_B=torch.tensor(lengths, dtype=dtype))
    torch.testing.assert_close(found.outputs_TBH, wanted.outputs_TBH)
    alike = unroll(cell, x_TBI, lengths_B=torch.tensor([44] * 3, dtype=dtype))
    assert not alike.outputs_TBH[44:].any()
    network = RecurrentNetwork(lambda size: type(cell)(size, hidden_size=4), 2, 3)
    outputs, _ = network(x_TBI, lengths_B=torch.tensor([44] * 3, dtype=dtype))
    assert not outputs[44:].any()
    with pytest.raises(ConfigError, match=r"must lie in 1\.\.300, the number of time steps, got 0"):
        unroll(cell, x_TBI, lengths_B=torch.tensor([0, 1, 1], dtype=dtype))


def test_the_step_of_what_is_no_number_under_free_feeding(plugins: Registry) -> None:
    make = plugins.get("cell", "gru").cls
    network = RecurrentNetwork(
        lambda size: make(size, hidden_size=4), 2, 3, feedback=True, check_finite=True
    )
    x_TBI = torch.zeros(5, 2, 2)
    x_TBI[3, 1, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="first at time step 3"):
        network(x_TBI, feed=Feed.free())
    network(x_TBI, feed=Feed.free(), lengths_B=torch.tensor([5, 3]))
