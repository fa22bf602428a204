from typing import Any

import torch
from torch import Tensor

from rnnexp.cells import Formula, PointwiseCell, Twin, register_cell
from rnnexp.types import State


@register_cell("lstm")
class LSTM(PointwiseCell):
    """Long short-term memory with a forget gate.

        i, f, o = sigmoid(W x_t + R h_{t-1} + b)     g = tanh(W x_t + R h_{t-1} + b)
        c_t = f * c_{t-1} + i * g
        h_t = o * tanh(c_t)

    Args:
        forget_bias: initial bias of the forget gate; above 0 the cell remembers at first.

    Source: Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000. Gate order i, f, g, o as
        in torch.nn.LSTM.
    """

    family = "lstm"
    num_gates = 4
    num_states = 2

    def __init__(self, input_size: int, *, forget_bias: float = 1.0, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.gate_bias(1).fill_(forget_bias)

    def update(self, wx_BGH: Tensor, rh_BGH: Tensor, state: State) -> State:
        """Write through i, keep through f, show through o."""
        i, f, g, o = (wx_BGH + rh_BGH).unbind(-2)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def formula(self) -> Formula | None:
        """Change the gates in place; derive them from what they are then."""
        # 2 s - 1 has few digits left where s has few.
        return _InPlace() if self.weight_ih.dtype in (torch.float32, torch.float64) else None

    def twin(self) -> Twin:
        """torch.nn.LSTM, whose second bias is zero here."""
        no_bias = torch.zeros_like(self.bias_ih)
        return Twin("LSTM", self.weight_ih, self.weight_hh, self.bias_ih, no_bias)


class _InPlace(Formula):
    # All tanh are made of the logistic function, which on a CPU takes a fifth of the time.

    def update(
        self, sum_BGH: Tensor, gates: tuple[Tensor, ...], state: State, new_state: State
    ) -> None:
        """Leave i, f, o, and in the place of g the s of g = 2 s - 1."""
        (i, f, g, o), (h, c) = gates, new_state
        g.add_(g)
        sum_BGH.sigmoid_()
        torch.mul(f, state[1], out=c).addcmul_(i, g, value=2).sub_(i)
        torch.add(c, c, out=h).sigmoid_()
        torch.addcmul(o, o, h, value=-2, out=h).neg_()

    def derive(self, left_BGH: Tensor, state: State, new_state: State) -> tuple[Tensor, ...]:
        """Derive c by i, f and g, and h by o; then h by c, and c by the one before, which is f."""
        i, f, s, o = left_BGH.unbind(-2)
        by_gates = torch.addcmul(left_BGH, left_BGH, left_BGH, value=-1)
        by_i, by_f, by_g, by_o = by_gates.unbind(-2)
        tanh_c = _odd(torch.sigmoid(new_state[1] * 2))
        by_i.mul_(_odd(s))
        by_f.mul_(state[1])
        by_g.mul_(i).mul_(4)
        by_o.mul_(tanh_c)
        h_by_c = torch.addcmul(o, o * tanh_c, tanh_c, value=-1)
        return by_gates, by_o.unsqueeze(-2), h_by_c.unsqueeze(-2), f.unsqueeze(-2)

    def back(
        self, local: tuple[Tensor, ...], grads: State, grad_sum_BGH: Tensor, grads_before: State
    ) -> None:
        """Go from h to c, and from there to its gates and to the one before."""
        (by_gates, by_o, h_by_c, f), (grad_h, grad_c) = local, grads
        grad_c.addcmul_(grad_h, h_by_c)
        torch.mul(grad_c, f, out=grads_before[1])
        torch.mul(grad_c, by_gates, out=grad_sum_BGH)
        torch.mul(grad_h, by_o, out=grad_sum_BGH.narrow(1, 3, 1))


def _odd(s: Tensor) -> Tensor:
    """Make tanh(a) of s = sigmoid(2 a)."""
    return (s + s).sub_(1)
