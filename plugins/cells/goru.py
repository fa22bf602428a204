import torch
from torch import Tensor, nn

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.cells.init import antisymmetric
from rnnexp.cells.rotation import rotation
from rnnexp.types import State


@register_cell("goru")
class GORU(PointwiseCell):
    """Gated orthogonal unit: it turns h without loss, and has gates to forget with.

        r, z = sigmoid(W x_t + R h_{t-1} + b)
        n    = modrelu(W x_t + r * (Q h_{t-1}) + b)        Q = exp(F - F^T), orthogonal
        h_t  = z * h_{t-1} + (1 - z) * n
        modrelu(v) = sign(v) * relu(|v| + m)

    Args:
        hidden_size: hidden units H, which is also the width of the output.

    Source: Jing et al. 2017, "Gated orthogonal recurrent units" (arXiv 1706.02761); Q is
        made by the exponential in place of a product of rotations. Gate order r, z, n.
    """

    family = "orthogonal"
    num_gates = 3

    def __init__(self, input_size: int, *, hidden_size: int = 64) -> None:
        super().__init__(input_size, hidden_size=hidden_size)
        self.threshold = nn.Parameter(torch.zeros(hidden_size))

    def recurrent_weight(self) -> Tensor:
        """Make the gates' matrices as they are, and the candidate's orthogonal."""
        assert self.weight_hh is not None
        gates, free = self.weight_hh.split([2 * self.hidden_size, self.hidden_size])
        return torch.cat([gates, rotation(antisymmetric(free, 0.0))])

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Reset what was turned, then mix candidate and past by z."""
        wx_r, wx_z, wx_n = wx_BGH.unbind(-2)
        rh_r, rh_z, rh_n = rh_BGH.unbind(-2)
        z = torch.sigmoid(wx_z + rh_z)
        sum_BH = wx_n + torch.sigmoid(wx_r + rh_r) * rh_n
        n = torch.sign(sum_BH) * torch.relu(torch.abs(sum_BH) + self.threshold)
        return (z * state[0] + (1 - z) * n,)
