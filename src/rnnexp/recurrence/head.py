"""What makes an output of a hidden state."""

from typing import Literal

from torch import nn

from rnnexp.errors import ConfigError

Head = Literal["linear", "identity"]


def make_head(head: Head, hidden_size: int, output_size: int) -> nn.Module:
    """Make what turns h into y.

    Raises:
        ConfigError: ``identity`` with O unlike H.
    """
    if head == "linear":
        return nn.Linear(hidden_size, output_size)
    if hidden_size != output_size:
        raise ConfigError(
            f"model.head=identity hands h on as y, but the cell has {hidden_size} hidden units "
            f"and the task asks for {output_size} outputs. Use model.head=linear."
        )
    return nn.Identity()
