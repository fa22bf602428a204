"""Stacked layers of one cell, a readout, and the way the output is fed back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from rnnexp.cells import Cell
from rnnexp.recurrence.feed import Feed
from rnnexp.recurrence.unroll import unroll
from rnnexp.types import State

Readout = Literal["every_step", "last"]
MakeCell = Callable[[int], Cell]
EncodeOutput = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class NetworkState:
    """What a network carries from one window of a sequence to the next.

    Args:
        layers: the state of each layer's cell.
        fed_back_BO: y of the last step as it is fed back; empty without feedback.
    """

    layers: tuple[State, ...]
    fed_back_BO: Tensor | None = None

    def detach(self) -> "NetworkState":
        """Cut the gradient: the values go on, back-propagation stops here."""
        layers = tuple(tuple(s.detach() for s in state) for state in self.layers)
        fed_back = None if self.fed_back_BO is None else self.fed_back_BO.detach()
        return NetworkState(layers, fed_back)

    def to(self, device: torch.device) -> "NetworkState":
        """Move the values to a device."""
        layers = tuple(tuple(s.to(device) for s in state) for state in self.layers)
        fed_back = None if self.fed_back_BO is None else self.fed_back_BO.to(device)
        return NetworkState(layers, fed_back)


class RecurrentNetwork(nn.Module):
    """The three patterns of a recurrent network.

        every_step, feedback none      y_t = V h_t + c,  h_t from h_{t-1}
        every_step, feedback output    y_t = V h_t + c,  h_t from y_{t-1}, and h_{t-1} if the cell
                                       has a state
        last                           y = V h_T + c

    Args:
        make_cell: makes the cell of a layer from its input size.
        input_size: input features I.
        output_size: output features O.
        layers: how many cells are stacked.
        dropout: probability of dropping an output between two layers.
        readout: where the output is read.
        feedback: whether y_{t-1} is part of the input of step t.
        encode_output: makes what is fed back from an output, such as the one-hot of its largest.
        backend: see `unroll`.
    """

    def __init__(
        self,
        make_cell: MakeCell,
        input_size: int,
        output_size: int,
        *,
        layers: int = 1,
        dropout: float = 0.0,
        readout: Readout = "every_step",
        feedback: bool = False,
        encode_output: EncodeOutput | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        cells = [make_cell(input_size + (output_size if feedback else 0))]
        cells += [make_cell(cells[0].hidden_size) for _ in range(layers - 1)]
        self.cells = nn.ModuleList(cells)
        self.readout = nn.Linear(cells[-1].hidden_size, output_size)
        self.dropout = nn.Dropout(dropout)
        self.readout_at: Readout = readout
        self.feedback = feedback
        self.backend = backend
        self._encode_output: EncodeOutput = encode_output or (lambda output: output)

    @property
    def layers(self) -> list[Cell]:
        """The cells from the input upwards."""
        return [cell for cell in self.cells if isinstance(cell, Cell)]

    def initial_state(self, batch_shape: tuple[int, ...]) -> NetworkState:
        """Make the state before the first step."""
        states = tuple(cell.initial_state(batch_shape) for cell in self.layers)
        if not self.feedback:
            return NetworkState(states)
        weight = self.readout.weight
        return NetworkState(states, weight.new_zeros(*batch_shape, self.readout.out_features))

    def forward(
        self,
        inputs_TBI: Tensor,
        state: NetworkState | None = None,
        *,
        targets_TBO: Tensor | None = None,
        feed: Feed | None = None,
    ) -> tuple[Tensor, NetworkState]:
        """Run a sequence, or a window of one.

        Args:
            inputs_TBI: shape (T, ..., B, I).
            state: where to start; zeros if not given.
            targets_TBO: the targets as they are fed back; needed by teacher and scheduled feeding.
            feed: what is fed back, the targets by default; without feedback it has no effect.

        Returns:
            The outputs, shape (T, ..., B, O), or (..., B, O) where the readout is ``last``, and
            the state after the last step.
        """
        state = state or self.initial_state(tuple(inputs_TBI.shape[1:-1]))
        if not self.feedback:
            return self._run_layers(inputs_TBI, state)
        feed = feed or Feed.teacher()
        if feed.mode == "teacher":
            return self._run_teacher_forced(inputs_TBI, state, _required(targets_TBO))
        return self._run_stepwise(inputs_TBI, state, targets_TBO, feed)

    def _run_layers(self, hidden: Tensor, state: NetworkState) -> tuple[Tensor, NetworkState]:
        last: list[State] = []
        for depth, cell in enumerate(self.layers):
            hidden = self.dropout(hidden) if depth else hidden
            unrolled = unroll(cell, hidden, state.layers[depth], backend=self.backend)
            hidden = unrolled.outputs_TBH
            last.append(unrolled.state)
        hidden = hidden[-1] if self.readout_at == "last" else hidden
        return self.readout(hidden), NetworkState(tuple(last), state.fed_back_BO)

    def _run_teacher_forced(
        self, inputs_TBI: Tensor, state: NetworkState, targets_TBO: Tensor
    ) -> tuple[Tensor, NetworkState]:
        # What is fed back is known beforehand: shift it by one step and unroll as usual.
        first_BO = _required(state.fed_back_BO)
        fed_TBO = torch.cat([first_BO.unsqueeze(0), targets_TBO[:-1]])
        outputs, last = self._run_layers(torch.cat([inputs_TBI, fed_TBO], -1), state)
        return outputs, NetworkState(last.layers, targets_TBO[-1])

    def _run_stepwise(
        self, inputs_TBI: Tensor, state: NetworkState, targets_TBO: Tensor | None, feed: Feed
    ) -> tuple[Tensor, NetworkState]:
        outputs: list[Tensor] = []
        for t, x_BI in enumerate(inputs_TBI.unbind(0)):
            fed_BO = _required(state.fed_back_BO)
            output_TBO, state = self._run_layers(torch.cat([x_BI, fed_BO], -1).unsqueeze(0), state)
            output_BO = output_TBO[-1] if self.readout_at == "every_step" else output_TBO
            outputs.append(output_BO)
            own_BO = self._encode_output(output_BO)
            state = NetworkState(state.layers, _mix(own_BO, targets_TBO, t, feed))
        stacked = torch.stack(outputs)
        return (stacked[-1] if self.readout_at == "last" else stacked), state


def _mix(own_BO: Tensor, targets_TBO: Tensor | None, t: int, feed: Feed) -> Tensor:
    if feed.mode == "free":
        return own_BO
    coin_B1 = torch.rand(own_BO.shape[:-1], device=own_BO.device).unsqueeze(-1)
    return torch.where(coin_B1 < feed.teacher_share, _required(targets_TBO)[t], own_BO.detach())


def _required(tensor: Tensor | None) -> Tensor:
    assert tensor is not None, "feedback needs the targets and a state with fed_back_BO"
    return tensor
