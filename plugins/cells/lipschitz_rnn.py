import torch
from torch import Tensor, nn

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.cells.init import input_weight
from rnnexp.errors import ConfigError
from rnnexp.types import State


@register_cell("lipschitz_rnn")
class LipschitzRNN(PointwiseCell):
    """A flow with a linear part and a nonlinear one, both held near the edge of stability.

        h_t = h_{t-1} + step * (A h_{t-1} + tanh(V h_{t-1} + W x_t + b))
        A   = (1 - beta) (M + M^T) + beta (M - M^T) - gamma 1        V likewise, of an M of its own

    Args:
        step: length of an Euler step, above 0.
        beta: share of the skew part in both matrices, in [0.5, 1].
        gamma: damping of both matrices, at least 0.

    Source: Erichson et al. 2020, "Lipschitz recurrent neural networks" (arXiv 2006.12070).
    """

    family = "orthogonal"
    num_gates = 2

    def __init__(
        self,
        input_size: int,
        *,
        hidden_size: int = 64,
        step: float = 0.1,
        beta: float = 0.75,
        gamma: float = 0.001,
    ) -> None:
        super().__init__(input_size, hidden_size=hidden_size)
        if not (step > 0 and 0.5 <= beta <= 1 and gamma >= 0):
            raise ConfigError(
                "cell.step, cell.beta, cell.gamma: must satisfy step > 0, 0.5 <= beta <= 1 and "
                f"gamma >= 0, got step={step}, beta={beta}, gamma={gamma}."
            )
        self.step_size, self.beta, self.gamma = step, beta, gamma
        assert self.weight_hh is not None
        # Larger, and the even part of A has eigenvalues above 0: h grows until it overflows.
        nn.init.normal_(self.weight_hh, std=1 / self.hidden_size)
        # Only V's part has inputs.
        self.weight_ih = input_weight(1, self.hidden_size, input_size)
        self.bias_ih = nn.Parameter(torch.zeros(self.hidden_size))

    def recurrent_weight(self) -> Tensor:
        """Make A and V of their free matrices."""
        assert self.weight_hh is not None
        matrices = self.weight_hh.unflatten(0, (2, self.hidden_size))
        even, skew = matrices + matrices.mT, matrices - matrices.mT
        one = torch.eye(self.hidden_size, dtype=matrices.dtype, device=matrices.device)
        return ((1 - self.beta) * even + self.beta * skew - self.gamma * one).flatten(0, 1)

    def project_input(self, x_BI: Tensor) -> Tensor:
        """Compute ``W x + b`` for the nonlinear part, and nothing for the linear one."""
        wx_BH = nn.functional.linear(x_BI, self.weight_ih, self.bias_ih)
        return torch.stack([torch.zeros_like(wx_BH), wx_BH], -2)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Take an Euler step."""
        linear, inner = (wx_BGH + rh_BGH).unbind(-2)
        return (state[0] + self.step_size * (linear + torch.tanh(inner)),)
