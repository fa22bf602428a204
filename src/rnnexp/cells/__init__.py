"""The contract of a cell. The cells themselves are plugins: see ``plugins/cells``."""

from rnnexp.cells.contract import Cell, MatrixCell, PointwiseCell, Twin
from rnnexp.cells.derivatives import LocalDerivatives
from rnnexp.cells.init import RecurrentInit
from rnnexp.cells.limits import require
from rnnexp.registry import register_cell

__all__ = [
    "Cell",
    "LocalDerivatives",
    "MatrixCell",
    "PointwiseCell",
    "RecurrentInit",
    "Twin",
    "register_cell",
    "require",
]
