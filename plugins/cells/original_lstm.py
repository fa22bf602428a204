import torch
from torch import Tensor

from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.types import State


@register_cell("original_lstm")
class OriginalLSTM(PointwiseCell):
    """The LSTM of 1997, which forgets nothing: what is written stays in c.

        i, o = sigmoid(W x_t + R h_{t-1} + b)     g = tanh(W x_t + R h_{t-1} + b)
        c_t  = c_{t-1} + i * g
        h_t  = o * tanh(c_t)

    The paper squashes by 4 sigmoid(x) - 2 where g has tanh here, and by 2 sigmoid(x) - 1 where c
    has; it cuts the gradient where h_{t-1} enters, so that it flows back through c alone, and
    starts gates with negative biases. Here the gradient is whole, and biases start at 0.

    Source: Hochreiter & Schmidhuber 1997, "Long short-term memory",
        doi:10.1162/neco.1997.9.8.1735.
    """

    family = "lstm"
    num_gates = 3
    num_states = 2

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Write through i, show through o."""
        i, g, o = (wx_BGH + rh_BGH).unbind(-2)
        c = state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c
