"""Find where a recurrence stops being finite."""

import torch
from torch import Tensor

from rnnexp.errors import NonFiniteError
from rnnexp.types import State


def check_steps(name: str, tensor_TBX: Tensor, steps_before: int = 0) -> None:
    """Refuse a sequence that holds NaN or infinity.

    Args:
        name: of the sequence.
        tensor_TBX: its steps.
        steps_before: how many come before them in the whole sequence.

    Raises:
        NonFiniteError: says at which time step first, counted from 0.
    """
    bad_T = ~torch.isfinite(tensor_TBX.detach()).flatten(1).all(dim=1)
    if bool(bad_T.any()):
        first = steps_before + int(bad_T.int().argmax())
        raise _error(name, tensor_TBX, f"first at time step {first}")


def check_state(state: State, when: str) -> None:
    """Refuse a state that holds NaN or infinity.

    Args:
        state: S tensors.
        when: such as ``before time step 0``.

    Raises:
        NonFiniteError: says which tensor of the state.
    """
    for i, tensor in enumerate(state):
        if not bool(torch.isfinite(tensor.detach()).all()):
            raise _error(f"state[{i}]", tensor, when)


def _error(name: str, tensor: Tensor, when: str) -> NonFiniteError:
    count = int((~torch.isfinite(tensor.detach())).sum())
    return NonFiniteError(
        f"{name} of shape {tuple(tensor.shape)}: {count} values are NaN or infinite, {when}. "
        "Look at the data, lower optimizer.lr, or clip the gradient with clip=norm."
    )
