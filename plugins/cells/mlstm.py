from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from rnnexp.cells import Cell, register_cell
from rnnexp.cells.init import filled, input_weight
from rnnexp.errors import ConfigError
from rnnexp.types import State

NOTHING = -1000.0
"""Logarithm of a weight that is 0 in every type of number."""


@register_cell("mlstm")
class MLSTM(Cell):
    """LSTM with a matrix as memory: values are stored under keys, and found by queries.

        q = W x_t + b     k = (W x_t + b) / sqrt(d)     v = W x_t + b     o = sigmoid(W x_t + b)
        i = exp(w x_t + b)                              f = sigmoid(...) or exp(...)
        C_t = f C_{t-1} + i v k^T                       n_t = f n_{t-1} + i k
        h_t = o * C_t q / max(|n_t^T q|, 1)

    d = H / heads, each head with a C, an n and gates of its own. C and n are carried divided by
    exp(m), m_t = max(log f + m_{t-1}, log i): no exponential overflows. What is recorded as
    dL/dh_t is the gradient of C as carried, which is exp(m_t) dL/dC_t: where m moves, as under
    forget=exp, it shrinks and grows otherwise than dL/dC_t. Another cell than the multiplicative
    LSTM of 2016, which is called mLSTM too.

    Args:
        heads: memories side by side; must divide hidden_size.
        forget: the forget gate.
        forget_bias: initial bias of the forget gate.

    Source: Beck et al. 2024, "xLSTM" (arXiv 2405.04517).
    """

    family = "memory"
    gradient_of = "state"

    def __init__(
        self,
        input_size: int,
        *,
        hidden_size: int = 64,
        heads: int = 1,
        forget: Literal["sigmoid", "exp"] = "sigmoid",
        forget_bias: float = 3.0,
    ) -> None:
        super().__init__(input_size, hidden_size=hidden_size)
        if heads < 1 or hidden_size % heads:
            raise ConfigError(
                f"cell.heads: must divide cell.hidden_size={hidden_size}, got {heads}."
            )
        self.heads, self.forget = heads, forget
        self.weight_ih = input_weight(4, hidden_size, input_size)
        self.bias_ih = filled(4 * hidden_size, 0.0)
        self.weight_gate = input_weight(2, heads, input_size)
        self.bias_gate = filled(2 * heads, 0.0)
        self.bias_gate.detach()[heads:].fill_(forget_bias)

    def initial_state(self, batch_shape: Sequence[int]) -> State:
        """Start from an empty memory."""
        n, d = self.heads, self.hidden_size // self.heads
        memory, norm = self.zeros(batch_shape, n, d, d), self.zeros(batch_shape, n, d)
        return memory, norm, self.zeros(batch_shape, n) + NOTHING

    def step(self, x_BI: Tensor, state: State) -> tuple[Tensor, State]:
        """Store, then ask."""
        memory, norm, scale = state
        linear = nn.functional.linear
        products = linear(x_BI, self.weight_ih, self.bias_ih)
        q, k, v, o = products.unflatten(-1, (4, self.heads, -1)).unbind(-3)
        k = k / k.shape[-1] ** 0.5
        log_i, f = linear(x_BI, self.weight_gate, self.bias_gate).chunk(2, -1)
        kept = scale + (f if self.forget == "exp" else nn.functional.logsigmoid(f))
        scale = torch.maximum(kept, log_i)
        keep, add = torch.exp(kept - scale).unsqueeze(-1), torch.exp(log_i - scale).unsqueeze(-1)
        added = (add * v).unsqueeze(-1) * k.unsqueeze(-2)
        memory = keep.unsqueeze(-1) * memory + added
        norm = keep * norm + add * k
        found = (memory @ q.unsqueeze(-1)).squeeze(-1)
        h = torch.sigmoid(o) * found / _divisor((norm * q).sum(-1), scale).unsqueeze(-1)
        return h.flatten(-2), (memory, norm, scale)


def _divisor(match: Tensor, scale: Tensor) -> Tensor:
    # 1 at the scale of what is carried; beyond e^80 it would leave float32.
    return torch.maximum(match.abs(), torch.exp(torch.clamp(-scale, max=80)))
