"""The contract of a cell. The cells themselves are plugins: see ``plugins/cells``."""

from rnnexp.cells.constrained import ConstrainedCell
from rnnexp.cells.contract import Cell, PointwiseCell, Twin
from rnnexp.cells.derivatives import LocalDerivatives
from rnnexp.cells.init import RecurrentInit
from rnnexp.cells.linear import LinearCell
from rnnexp.registry import register_cell

__all__ = [
    "Cell",
    "ConstrainedCell",
    "LinearCell",
    "LocalDerivatives",
    "PointwiseCell",
    "RecurrentInit",
    "Twin",
    "register_cell",
]
