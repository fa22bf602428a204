"""The contract of a cell. The cells themselves are plugins: see ``plugins/cells``."""

from rnnexp.cells.contract import (
    Cell,
    Family,
    MatrixCell,
    PointwiseCell,
    Twin,
    has_own_step,
    still_holds,
)
from rnnexp.cells.formula import Formula
from rnnexp.cells.init import RecurrentInit
from rnnexp.cells.limits import require
from rnnexp.cells.linear import LinearCell
from rnnexp.registry import register_cell

__all__ = [
    "Cell",
    "Family",
    "Formula",
    "LinearCell",
    "MatrixCell",
    "PointwiseCell",
    "RecurrentInit",
    "Twin",
    "has_own_step",
    "register_cell",
    "require",
    "still_holds",
]
