import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.errors import ConfigError
from rnnexp.types import State


@register_cell("echo_state")
class EchoState(PointwiseCell):
    """A fixed reservoir: nothing in it is learned, only what reads it.

        h_t = (1 - leak) * h_{t-1} + leak * tanh(W x_t + R h_{t-1} + b)
        R   = sparse and random, scaled to its largest |eigenvalue|

    ``readout_fit=ridge`` fits the readout in closed form.

    Args:
        spectral_radius: largest absolute eigenvalue of R; below 1 the reservoir forgets.
        leak: share of the new value, in (0, 1].
        density: share of R's entries that are not zero, in (0, 1].
        input_scale: W is drawn evenly between plus and minus this.
        bias_scale: b likewise.

    Source: Jaeger 2001, "The echo state approach to analysing and training recurrent neural
        networks"; leak: Jaeger et al. 2007.
    """

    family = "reservoir"
    num_gates = 1

    def __init__(
        self,
        input_size: int,
        *,
        hidden_size: int = 64,
        spectral_radius: float = 0.9,
        leak: float = 1.0,
        density: float = 0.2,
        input_scale: float = 1.0,
        bias_scale: float = 0.2,
    ) -> None:
        super().__init__(input_size, hidden_size=hidden_size)
        if not (spectral_radius >= 0 and 0 < leak <= 1 and 0 < density <= 1):
            raise ConfigError(
                "cell.spectral_radius, cell.leak, cell.density: must satisfy spectral_radius >= 0, "
                f"0 < leak <= 1 and 0 < density <= 1, got {spectral_radius}, {leak} and {density}."
            )
        self.leak = leak
        self.weight_ih.detach().uniform_(-input_scale, input_scale)
        self.bias_ih.detach().uniform_(-bias_scale, bias_scale)
        assert self.weight_hh is not None
        self.weight_hh.detach().copy_(_reservoir(hidden_size, density, spectral_radius))
        self.requires_grad_(False)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Mix the old value and the new one by the leak."""
        new = torch.tanh((wx_BGH + rh_BGH).squeeze(-2))
        return ((1 - self.leak) * state[0] + self.leak * new,)


def _reservoir(units: int, density: float, radius: float) -> Tensor:
    weight = torch.randn(units, units) * (torch.rand(units, units) < density)
    largest = torch.linalg.eigvals(weight.double()).abs().max()
    if largest < 1e-6:  # so sparse that nothing echoes: a ring of the units does
        return radius * torch.eye(units).roll(1, 0)
    return weight * (radius / largest).to(weight.dtype)
