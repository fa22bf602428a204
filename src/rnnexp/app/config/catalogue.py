"""The cells that can be named, by family, and what each costs."""

from collections.abc import Iterator
from typing import Any, cast, get_args

from rnnexp.registry import Entry

SIZES = {"input_size": 64, "hidden_size": 64}
"""For which costs are told: an input as wide as the state."""


def by_family(entries: list[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    """Group cells by family, in the order of `rnnexp.cells.Family`, families of others last."""
    from rnnexp.cells import Family

    of = {entry.name: str(cast(Any, entry.cls).family) for entry in entries}
    shipped = get_args(Family)
    for family in (*shipped, *sorted(set(of.values()).difference(shipped))):
        members = [entry for entry in entries if of[entry.name] == family]
        if members:
            yield family, members


def costs(entry: Entry) -> tuple[str, str, str]:
    """Count parameters, multiply-adds of a step, and the numbers that its state holds."""
    from rnnexp.app.config.probe import made
    from rnnexp.testing.cost import carried, multiply_adds, parameters

    cell = made(entry.kind, entry.name, options=SIZES)
    return f"{parameters(cell):,}", f"{multiply_adds(cell):,}", f"{carried(cell):,}"
