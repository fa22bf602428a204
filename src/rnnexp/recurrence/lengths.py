"""Rows of different lengths in one padded batch."""

import torch
from torch import Tensor

from rnnexp.errors import ConfigError


def checked_lengths(lengths_B: object, inputs_TBI: Tensor) -> Tensor:
    """Give the lengths in 64 bits, in which they can be compared with any T.

    Raises:
        ConfigError: no tensor, wrong type, wrong shape, or a length below 1 or beyond T.
    """
    if not isinstance(lengths_B, Tensor):
        raise ConfigError(
            f"lengths_B: expected a tensor of whole numbers, got {lengths_B!r}. Give "
            "torch.tensor(...) of it."
        )
    wanted, found = tuple(inputs_TBI.shape[1:-1]), tuple(lengths_B.shape)
    dtype, steps = lengths_B.dtype, inputs_TBI.shape[0]
    if dtype.is_floating_point or dtype.is_complex or dtype == torch.bool:
        raise ConfigError(f"lengths_B: must be whole numbers, got {dtype} of shape {found}.")
    if found != wanted:
        raise ConfigError(
            f"lengths_B: expected shape {wanted}, one length for each row of inputs of shape "
            f"{tuple(inputs_TBI.shape)}, got shape {found}."
        )
    lengths_B = lengths_B.long()
    bad = lengths_B[(lengths_B < 1) | (lengths_B > steps)]
    if bad.numel():
        raise ConfigError(
            f"lengths_B: each of shape {found} must lie in 1..{steps}, the number of time steps, "
            f"got {int(bad.flatten()[0])}."
        )
    return lengths_B


def valid_steps(steps: int, lengths_B: Tensor) -> Tensor:
    """Mark the steps that belong to a sequence: True before its end, shape (T, ..., B)."""
    times_T = torch.arange(steps, device=lengths_B.device)
    return times_T.view(-1, *[1] * lengths_B.dim()) < lengths_B


def blank(tensor_TBX: Tensor, lengths_B: Tensor | None) -> Tensor:
    """Set what lies beyond each row's own end to zero."""
    if lengths_B is None:
        return tensor_TBX
    valid_TB1 = valid_steps(tensor_TBX.shape[0], lengths_B.to(tensor_TBX.device)).unsqueeze(-1)
    return torch.where(valid_TB1, tensor_TBX, 0)


def last_step(tensor_TBX: Tensor, lengths_B: Tensor | None) -> Tensor:
    """Read each row at its own last step, shape (..., B, X)."""
    if lengths_B is None:
        return tensor_TBX[-1]
    at_B1 = (lengths_B.to(tensor_TBX.device, torch.int64) - 1).unsqueeze(-1)
    return tensor_TBX.gather(0, at_B1.expand(tensor_TBX.shape[1:]).unsqueeze(0)).squeeze(0)


def reverse_time(tensor_TBX: Tensor, lengths_B: Tensor | None) -> Tensor:
    """Reverse each row within its own length; what lies beyond stays where it is."""
    if lengths_B is None:
        return tensor_TBX.flip(0)
    lengths = lengths_B.to(tensor_TBX.device, torch.int64)
    times = torch.arange(tensor_TBX.shape[0], device=lengths.device)
    times_TB = times.view(-1, *[1] * lengths.dim()).expand(-1, *lengths.shape)
    from_TB = torch.where(times_TB < lengths, lengths - 1 - times_TB, times_TB)
    return tensor_TBX.gather(0, from_TB.unsqueeze(-1).expand(tensor_TBX.shape))
