"""Stacked layers of one cell, a readout, and the way the output is fed back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, get_args

import torch
from torch import Tensor, nn

from rnnexp.cells import Cell
from rnnexp.errors import ConfigError, check_choice
from rnnexp.recurrence.around import Around
from rnnexp.recurrence.feed import Feed, check_targets
from rnnexp.recurrence.head import Head, make_head
from rnnexp.recurrence.lengths import blank, checked_lengths, last_step, reverse_time
from rnnexp.recurrence.state import NetworkState, advanced, check_depth, required
from rnnexp.recurrence.trace import Trace
from rnnexp.recurrence.unroll import unroll
from rnnexp.types import State

Readout = Literal["every_step", "last"]
MakeCell = Callable[[int], Cell]
EncodeOutput = Callable[[Tensor], Tensor]
if TYPE_CHECKING:
    P = ParamSpec("P")
    R = TypeVar("R")

    def _typed_as(method: Callable[P, R]) -> Callable[[Callable[..., Any]], Callable[P, R]]: ...


@dataclass(frozen=True)
class _Along:
    """What goes along with a sequence through all layers."""

    lengths_B: Tensor | None = None
    traces: Sequence[Trace] | None = None
    steps_before: int = 0
    around: Around | None = None

    def at(self, t: int, steps: int, around: Around) -> "_Along":
        """Make what goes along with step t alone, of T."""
        parts = self.traces and [trace.part(t, steps) for trace in self.traces]
        return _Along(None, parts, t, around)


class RecurrentNetwork(nn.Module):
    """The three patterns of a recurrent network.

        every_step, feedback none      y_t = V h_t + c,  h_t from h_{t-1}
        every_step, feedback output    y_t = V h_t + c,  h_t from y_{t-1}, and h_{t-1} if the cell
                                       has a state
        last                           y = V h_T + c

    A bidirectional layer reads the sequence once more from its end, and gives [h_t, h'_t]; the
    readout ``last`` then takes h_T and h'_1, after which each has seen the whole sequence.

    The head ``identity`` has no V and c: y = h.

    Args:
        make_cell: makes the cell of a layer from its input size.
        input_size: input features I.
        output_size: output features O.
        layers: how many cells are stacked.
        dropout: probability of dropping an output between two layers.
        readout: where the output is read.
        head: what makes y of h.
        feedback: whether y_{t-1} is part of the input of step t.
        encode_output: makes what is fed back from an output, such as the one-hot of its largest.
        bidirectional: whether each layer runs in both directions of time.
        backend: see `unroll`.
        checkpoint_every: see `unroll`.
        check_finite: see `unroll`.

    Raises:
        ConfigError: bidirectional with feedback, which would need outputs of the future.
        ConfigError: the head ``identity`` with O unlike H; no such head or readout; no layer.
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
        head: Head = "linear",
        feedback: bool = False,
        encode_output: EncodeOutput | None = None,
        bidirectional: bool = False,
        backend: str = "auto",
        checkpoint_every: int | None = None,
        check_finite: bool = False,
    ) -> None:
        super().__init__()
        check_choice("model.readout", readout, get_args(Readout))
        if layers < 1:
            raise ConfigError(f"model.layers: must be at least 1, got {layers}.")
        if bidirectional and feedback:
            raise ConfigError(
                "bidirectional: cannot go with feedback, because the future outputs do not exist "
                "yet. Use one of them."
            )
        self.directions = 2 if bidirectional else 1
        width = input_size + (output_size if feedback else 0)
        self.cells = nn.ModuleList()
        for _ in range(layers):
            layer = [make_cell(width) for _ in range(self.directions)]
            self.cells.extend(layer)
            width = sum(cell.hidden_size for cell in layer)
        self.readout = make_head(head, width, output_size)
        self.output_size = output_size
        self.dropout = nn.Dropout(dropout)
        self.readout_at: Readout = readout
        self.feedback = feedback
        self.backend = backend
        self.checkpoint_every = checkpoint_every
        self.check_finite = check_finite
        self._encode_output: EncodeOutput = encode_output or _as_it_is

    @property
    def layers(self) -> list[Cell]:
        """The cells from the input upwards; forwards then backwards where there are both."""
        return [cell for cell in self.cells if isinstance(cell, Cell)]

    def initial_state(self, batch_shape: tuple[int, ...]) -> NetworkState:
        """Make the state before the first step."""
        states = tuple(cell.initial_state(batch_shape) for cell in self.layers)
        if not self.feedback:
            return NetworkState(states)
        weight = next(self.parameters()).real  # outputs are, whatever the weights
        return NetworkState(states, weight.new_zeros(*batch_shape, self.output_size))

    def forward(
        self,
        inputs_TBI: Tensor,
        state: NetworkState | None = None,
        *,
        targets_TBO: Tensor | None = None,
        feed: Feed | None = None,
        lengths_B: Tensor | None = None,
        traces: Sequence[Trace] | None = None,
    ) -> tuple[Tensor, NetworkState]:
        """Run a sequence, or a window of one.

        Args:
            inputs_TBI: shape (T, ..., B, I).
            state: where to start; zeros if not given.
            targets_TBO: the targets as they are fed back; needed by teacher and scheduled feeding.
            feed: what is fed back, the targets by default; without feedback it has no effect.
            lengths_B: the steps of each row, as in `unroll`; outputs beyond are zero, and the
                readout ``last`` reads each row at its own last step.
            traces: one for each of `layers`; the backward pass fills them, that of a layer which
                runs backwards in its own direction of time.

        Returns:
            The outputs, shape (T, ..., B, O), or (..., B, O) where the readout is ``last``, and
            the state after the last step.

        Raises:
            ConfigError: as `unroll` does; no targets to be fed back, or of another shape; a state
                that is none, or of another depth.
        """
        if state is None:
            state = self.initial_state(tuple(inputs_TBI.shape[1:-1]))
        check_depth(state, len(self.cells))
        if lengths_B is not None:
            lengths_B = checked_lengths(lengths_B, inputs_TBI)
        along = _Along(lengths_B, traces)
        if not self.feedback:
            return self._run_layers(inputs_TBI, state, along)
        feed = feed or Feed.teacher()
        check_targets(feed, targets_TBO, (*inputs_TBI.shape[:-1], self.output_size))
        if feed.mode == "teacher":
            return self._run_teacher_forced(inputs_TBI, state, required(targets_TBO), along)
        return self._run_stepwise(inputs_TBI, state, targets_TBO, feed, along)

    if TYPE_CHECKING:

        @_typed_as(forward)
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Run `forward`; of a call torch says that it takes and gives anything."""

    def _run_layers(
        self, inputs_TBI: Tensor, state: NetworkState, along: "_Along"
    ) -> tuple[Tensor, NetworkState]:
        hidden: list[Tensor] = [inputs_TBI]
        last: list[State] = []
        for depth in range(0, len(self.cells), self.directions):
            # [h_t, h'_t] side by side is what the next layer reads.
            below = torch.cat(hidden, -1) if depth == 0 else self.dropout(torch.cat(hidden, -1))
            hidden = [
                self._run_cell(i, below, state.layers[i], along, last)
                for i in range(depth, depth + self.directions)
            ]
        output = self._read_out(hidden, along.lengths_B)
        return output, NetworkState(tuple(last), state.fed_back_BO)

    def _run_cell(
        self, i: int, below_TBI: Tensor, state: State, along: "_Along", last: list[State]
    ) -> Tensor:
        backwards, lengths_B = i % self.directions == 1, along.lengths_B
        unrolled = unroll(
            self.layers[i],
            reverse_time(below_TBI, lengths_B) if backwards else below_TBI,
            state,
            backend=self.backend,
            trace=along.traces[i] if along.traces else None,
            checkpoint_every=self.checkpoint_every,
            lengths_B=lengths_B,
            check_finite=self.check_finite,
            steps_before=along.steps_before,
        )
        outputs_TBH, after = unrolled.outputs_TBH, unrolled.state
        last.append(along.around.through(i, outputs_TBH, after) if along.around else after)
        return reverse_time(outputs_TBH, lengths_B) if backwards else outputs_TBH

    def _read_out(self, hidden: list[Tensor], lengths_B: Tensor | None) -> Tensor:
        if self.readout_at == "every_step":
            return blank(self.readout(torch.cat(hidden, -1)), lengths_B)
        ends = [last_step(hidden[0], lengths_B), *(backward[0] for backward in hidden[1:])]
        return self.readout(torch.cat(ends, -1))

    def _run_teacher_forced(
        self,
        inputs_TBI: Tensor,
        state: NetworkState,
        targets_TBO: Tensor,
        along: "_Along",
    ) -> tuple[Tensor, NetworkState]:
        # What is fed back is known beforehand: shift it by one step and unroll as usual.
        first_BO = required(state.fed_back_BO)
        fed_TBO = torch.cat([first_BO.unsqueeze(0), targets_TBO[:-1]])
        outputs, last = self._run_layers(torch.cat([inputs_TBI, fed_TBO], -1), state, along)
        return outputs, NetworkState(last.layers, last_step(targets_TBO, along.lengths_B))

    def _run_stepwise(
        self,
        inputs_TBI: Tensor,
        state: NetworkState,
        targets_TBO: Tensor | None,
        feed: Feed,
        along: "_Along",
    ) -> tuple[Tensor, NetworkState]:
        outputs: list[Tensor] = []
        lengths_B = along.lengths_B
        around = Around(self.layers, state.layers, along.traces)
        # Rows that have ended run along, and 0 times NaN would be NaN in the gradient.
        for t, x_BI in enumerate(blank(inputs_TBI, lengths_B).unbind(0)):
            fed_BO = required(state.fed_back_BO)
            x_TBI = torch.cat([x_BI, fed_BO], -1).unsqueeze(0)
            output_TBO, new = self._run_layers(x_TBI, state, along.at(t, len(inputs_TBI), around))
            output_BO = output_TBO[-1] if self.readout_at == "every_step" else output_TBO
            outputs.append(output_BO)
            # What a task encodes is of torch's default type, be the weights of another.
            own_BO = self._encode_output(output_BO).to(fed_BO)
            new = NetworkState(new.layers, feed.mixed(own_BO, targets_TBO, t))
            state = advanced(state, new, t, lengths_B)
        stacked_TBO = torch.stack(outputs)
        around.follow(outputs, stacked_TBO, required(state.fed_back_BO))
        if self.readout_at == "last":
            return last_step(stacked_TBO, lengths_B), state
        return blank(stacked_TBO, lengths_B), state


def _as_it_is(output_BO: Tensor) -> Tensor:
    return output_BO
