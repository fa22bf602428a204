"""What makes an output of a hidden state."""

from typing import Literal, get_args

from torch import nn

from rnnexp.errors import ConfigError, check_choice

Head = Literal["linear", "identity"]


def make_head(head: Head, hidden_size: int, output_size: int) -> nn.Module:
    """Make what turns h into y.

    Args:
        head: ``linear`` is ``V h + c``, ``identity`` h itself.
        hidden_size: width of h; of [h_t, h'_t] where the network is bidirectional.
        output_size: output features O.

    Raises:
        ConfigError: ``identity`` with O unlike H; no such head.
    """
    check_choice("model.head", head, get_args(Head))
    if head == "linear":
        return nn.Linear(hidden_size, output_size)
    if hidden_size != output_size:
        raise ConfigError(
            f"model.head=identity hands h on as y, but h has {hidden_size} hidden units and the "
            f"task asks for {output_size} outputs. Use model.head=linear."
        )
    return nn.Identity()
