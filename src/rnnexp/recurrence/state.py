"""What a network carries from one step, or one window, to the next."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.export import register_dataclass

from rnnexp.errors import ConfigError
from rnnexp.types import State


@dataclass(frozen=True)
class NetworkState:
    """What a network carries from one window of a sequence to the next.

    Args:
        layers: the state of each layer's cell; of both cells of a layer, forwards then backwards,
            where the network is bidirectional.
        fed_back_BO: y of the last step as it is fed back; empty without feedback.
    """

    layers: tuple[State, ...]
    fed_back_BO: Tensor | None = None

    def detach(self) -> "NetworkState":
        """Cut the gradient: the values go on, back-propagation stops here."""
        return self.map(Tensor.detach)

    def to(self, device: torch.device) -> "NetworkState":
        """Move the values to a device."""
        return self.map(lambda tensor: tensor.to(device))

    def tensors(self) -> list[Tensor]:
        """List every tensor."""
        fed_back = [] if self.fed_back_BO is None else [self.fed_back_BO]
        return [tensor for layer in self.layers for tensor in layer] + fed_back

    def map(self, function: Callable[[Tensor], Tensor]) -> "NetworkState":
        """Apply a function to every tensor."""
        layers = tuple(tuple(function(s) for s in state) for state in self.layers)
        fed_back = None if self.fed_back_BO is None else function(self.fed_back_BO)
        return NetworkState(layers, fed_back)


# torch.export, for one, must know what tensors a network takes and gives.
register_dataclass(NetworkState, serialized_type_name="rnnexp.recurrence.NetworkState")


def check_depth(state: object, cells: int) -> None:
    """Refuse what is no state of a network, or one of a network of another depth.

    Args:
        state: what was given as one.
        cells: how many the network has.

    Raises:
        ConfigError: says what to give.
    """
    if not isinstance(state, NetworkState):
        raise ConfigError(
            f"state: expected a NetworkState, got a {type(state).__name__}. Give one that this "
            "network has returned, or NetworkState(layers), a tuple of tensors for each cell."
        )
    if len(state.layers) != cells:
        raise ConfigError(
            f"state: it holds those of {len(state.layers)} cells, and this network has {cells}. "
            "Give one that this network has returned, or none."
        )


def advanced(
    old: NetworkState, new: NetworkState, t: int, lengths_B: Tensor | None
) -> NetworkState:
    """Take the new state of the rows that have not ended before step t."""
    if lengths_B is None:
        return new
    fed_back_BO = required(new.fed_back_BO)
    runs_B = (t < lengths_B).to(fed_back_BO.device)

    def choose(new_BX: Tensor, old_BX: Tensor) -> Tensor:
        return torch.where(runs_B[(...,) + (None,) * (new_BX.dim() - runs_B.dim())], new_BX, old_BX)

    layers = tuple(
        tuple(choose(*pair) for pair in zip(*states, strict=True))
        for states in zip(new.layers, old.layers, strict=True)
    )
    return NetworkState(layers, choose(fed_back_BO, required(old.fed_back_BO)))


def required(tensor: Tensor | None) -> Tensor:
    """Take what only a network with feedback has."""
    assert tensor is not None, "feedback needs the targets and a state with fed_back_BO"
    return tensor
