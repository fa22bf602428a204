"""Reads of a tensor's numbers that go past torch's operators, and so past what watches these."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

_READS = frozenset(
    (
        Tensor.tolist,
        Tensor.numpy,
        Tensor.__array__,
        Tensor.__dlpack__,
        Tensor.data_ptr,
        Tensor.storage,
        Tensor.untyped_storage,
    )
)


class UnseenReads(TorchFunctionMode):
    """Tells of each such read in its block, before it is done; ``item`` is an operator.

    Args:
        note: is given the method's name and the tensor.
    """

    def __init__(self, note: Callable[[str, Tensor], None]) -> None:
        super().__init__()
        self._note = note

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch's, after a look at which it is."""
        del types
        if func in _READS:
            self._note(func.__name__, args[0])
        return func(*args, **(kwargs or {}))
