"""Which part of a network a gradient comes from: norms of groups of parameters."""

import math
from collections.abc import Iterator, Mapping, Sized

import torch
from torch import nn

from rnnexp.recurrence import RecurrentNetwork, wide_norm

_KINDS = {"weight_ih": "input", "weight_hh": "recurrent", "bias": "bias"}
"""What a parameter's name begins with, and the group that it belongs to; ``cell`` for others."""
_NETWORK = "network."
_MADE_OF = "parametrizations"
"""Below it torch keeps what a weight is made of, under the name of that weight."""
READOUT = "readout"
REVERSE = "_reverse"


def cell_name(index: int, directions: int = 1) -> str:
    """Name a cell of a `RecurrentNetwork` by its layer; torch names its weights in this way too.

        0, 1  ->  layer0, layer1
        0, 1  ->  layer0, layer0_reverse    where each layer has two directions

    Args:
        index: of the cell, in ``network.cells``.
        directions: of the network.
    """
    layer, direction = divmod(index, directions)
    return f"layer{layer}{REVERSE if direction else ''}"


def cell_names(network: RecurrentNetwork) -> list[str]:
    """Name all cells of a network, in their order."""
    return [cell_name(i, network.directions) for i in range(len(network.layers))]


def suffix_of(cell: str, cells: Sized) -> str:
    """Give what the name of a cell's figure ends in: nothing where there is one cell only."""
    return "" if len(cells) == 1 else f"_{cell}"


def group_of(name: str, directions: int = 1) -> str:
    """Name the group of a parameter of a `RecurrentNetwork`, or of a module around one.

        cells.0.weight_hh                            ->  layer0.recurrent
        cells.0.parametrizations.weight_hh.original  ->  layer0.recurrent
        readout.weight                               ->  readout
        task.log_sigma                               ->  task

    Args:
        name: as in ``named_parameters()`` of the network, or of a module that holds it as
            ``network``.
        directions: of the network.

    Returns:
        ``{cell}.{kind}`` with a cell as `cell_name` names it, and a kind of input, recurrent, bias,
        cell; outside the cells, the first part of the name.
    """
    parts = name.removeprefix(_NETWORK).split(".")
    if parts[0] != "cells":
        return parts[0]
    own = parts[parts.index(_MADE_OF) + 1] if _MADE_OF in parts else parts[-1]
    kinds = (kind for begin, kind in _KINDS.items() if own.startswith(begin))
    return f"{cell_name(int(parts[1]), directions)}.{next(kinds, 'cell')}"


def split_group(group: str) -> tuple[str, str]:
    """Split ``layer0.recurrent`` into ``recurrent`` and ``layer0``; the readout has no cell."""
    cell, _, kind = group.rpartition(".")
    return kind, cell


def layer_of(cell: str) -> int | None:
    """Read the layer off a cell's name; None for no cell."""
    return int(cell.removeprefix("layer").removesuffix(REVERSE)) if cell else None


def is_reverse(cell: str) -> bool:
    """Tell whether a cell of this name reads the sequence from its end."""
    return cell.endswith(REVERSE)


def dominating(norms: Mapping[str, float]) -> str:
    """Name the group with the largest norm, a norm that is not finite before all others.

    Of several that are not finite it is that nearest to the loss, which the backward pass met
    first. Nothing where there are no norms: what ended the step came before its gradient.
    """
    broken = [group for group, norm in norms.items() if not math.isfinite(norm)]
    if broken:
        return max(broken, key=_nearness)
    return max(norms, key=norms.__getitem__, default="")


def _nearness(group: str) -> tuple[bool, int]:
    # To the loss: the readout comes first, then the upper layers.
    layer = layer_of(split_group(group)[1])
    return group == READOUT, -1 if layer is None else layer


def size_of(norm: float) -> float:
    """Give what norms are compared by: to `max` it would matter where among them a NaN stands."""
    return norm if math.isfinite(norm) else math.inf


class GroupNorms:
    """The gradient norms of all groups of a module's parameters.

        ||g||_group = sqrt(sum over the group's p of ||dL/dp||^2)

    Args:
        module: a network, or one around it; its parameters are grouped once, here.
    """

    def __init__(self, module: nn.Module) -> None:
        directions = getattr(getattr(module, "network", module), "directions", 1)
        self._members: list[tuple[str, nn.Parameter]] = [
            (group_of(name, directions), parameter) for name, parameter in module.named_parameters()
        ]
        self.groups = tuple(dict.fromkeys(group for group, _ in self._members))

    def total(self) -> float:
        """Compute the global norm of all gradients: sqrt(sum_p ||dL/dp||^2); 0 without any."""
        return math.hypot(*(norm for _, norm in self._norms()))

    def measure(self) -> dict[str, float]:
        """Compute the norm of every group, with one transfer from the device.

        Returns:
            Norms by group, in the units of the loss; 0 for a group without gradients.
        """
        squares = dict.fromkeys(self.groups, 0.0)
        for group, norm in self._norms():
            squares[group] += norm * norm
        return {group: math.sqrt(square) for group, square in squares.items()}

    def _norms(self) -> Iterator[tuple[str, float]]:
        present = [(group, p.grad) for group, p in self._members if p.grad is not None]
        if not present:
            return
        norms = torch._foreach_norm([grad for _, grad in present])  # pyright: ignore[reportPrivateUsage]
        for (group, grad), norm in zip(present, torch.stack(norms).tolist(), strict=True):
            # The gradient may be finite, and not zero, where float32 cannot hold its square.
            lost = norm in (0.0, math.inf)
            yield group, float(wide_norm(grad.flatten())) if lost else norm


def total(norms: Mapping[str, float]) -> float:
    """Compute the global norm from the norms of the groups."""
    return math.hypot(*norms.values())
