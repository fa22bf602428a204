"""What every plugin with options must keep: its constructor leaves them as they are."""

from collections.abc import Callable
from copy import deepcopy

from rnnexp.registry import Entry
from rnnexp.testing.checks import BrokenError


def check_options_kept(entry: Entry, make: Callable[..., object]) -> None:
    """Refuse a constructor that changes a list or a mapping that it is given.

    Args:
        entry: the plugin.
        make: calls its constructor with options by name.

    Raises:
        BrokenError: names the option.
    """
    defaults = {o.name: o.default for o in entry.options if isinstance(o.default, (list, dict))}
    given, taken = deepcopy(defaults), deepcopy(defaults)  # such a constructor changes them too
    if taken:
        make(**taken)
    for name, value in given.items():
        if taken[name] != value:
            raise BrokenError(
                f"the option {name} left as it was given, {value!r}",
                f"{taken[name]!r} after the constructor",
                f"Change a copy: copy.deepcopy({name}). Look at {entry.place}.",
            )
