"""The cells that can be named, by family, and what each costs."""

from collections.abc import Iterator
from typing import Any, cast, get_args

from rnnexp.errors import RnnexpError
from rnnexp.registry import Entry

Costs = tuple[str, str, str]
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


def costs(entry: Entry) -> Costs:
    """Count parameters, multiply-adds of a step, and the numbers that its state holds.

    Raises:
        UserError: the cell cannot be made, or fails at a step; says why.
    """
    from rnnexp.app.config.probe import blaming, made
    from rnnexp.testing.cost import carried, multiply_adds, parameters

    cell = made(entry.kind, entry.name, options=SIZES)
    with blaming(entry.kind, entry.name, "fails at its first step"):
        return f"{parameters(cell):,}", f"{multiply_adds(cell):,}", f"{carried(cell):,}"


def all_costs(entries: list[Entry]) -> tuple[dict[str, Costs], list[str]]:
    """Count the costs of cells.

    Returns:
        The costs by name, and for each cell that could not be counted why not.
    """
    found, failed = dict[str, Costs](), list[str]()
    for entry in entries:
        try:
            found[entry.name] = costs(entry)
        except RnnexpError as error:
            failed.append(str(error))
    return found, failed
