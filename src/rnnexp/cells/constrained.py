"""A `PointwiseCell` whose recurrent matrix is computed from free parameters."""

from abc import abstractmethod
from typing import Any

from torch import Tensor

from rnnexp.cells.contract import PointwiseCell


class ConstrainedCell(PointwiseCell):
    """A pointwise cell whose R keeps a form: orthogonal, skew, with blocks of zeros.

        R = constrain(F)        F is the parameter ``weight_free``

    R is computed once per unrolling, by the loop once per step, and may be read as ``weight_hh``;
    the gradient goes through `constrain` to F. torch's own parametrizations do the same, but a
    module that has them cannot be pickled.
    """

    def __init__(self, input_size: int, **options: Any) -> None:
        super().__init__(input_size, **options)
        self.weight_free = self.weight_hh
        del self.weight_hh

    @abstractmethod
    def constrain(self, free: Tensor) -> Tensor:
        """Make R, shape (G*H, H), of the free parameters."""

    def __getattr__(self, name: str) -> Any:
        """Compute R where torch would look for the parameter."""
        if name == "weight_hh" and "weight_free" in self._parameters:
            return self.constrain(self.weight_free)
        return super().__getattr__(name)
