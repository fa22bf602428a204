"""The tensors that a module has in its attributes, wherever they lie in them."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from torch import Tensor, nn

Held = Mapping[str, Tensor]
"""By where they lie, such as ``log[2]``. As long as it is held, no other has their ids."""


def held_tensors(module: nn.Module) -> Held:
    """Collect parameters, buffers, and tensors in attributes and in what these contain.

    Args:
        module: any, with those below it.
    """
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for prefix, part in module.named_modules():
        for name, value in vars(part).items():
            found.update(_within(".".join(filter(None, (prefix, name))), value, seen))
    return found


def _within(place: str, value: object, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield place, value
    elif isinstance(value, (list, tuple, set, deque, dict)) and id(value) not in seen:
        seen.add(id(value))  # a list may contain itself
        for key, part in _parts(value):
            yield from _within(f"{place}[{key!r}]", part, seen)


def _parts(value: Iterable[object]) -> Iterable[tuple[object, object]]:
    return list(value.items()) if isinstance(value, dict) else enumerate(value)
