"""An update written out by hand, for cells that many use and that should not wait for autograd."""

from abc import ABC, abstractmethod

from torch import Tensor

from rnnexp.types import State


class Formula(ABC):
    """What `PointwiseCell.update` does and how it is derived, with few operations and in place.

        s_t = update(sum_t, s_{t-1})    sum_t = wx_t + rh_t

    Only for an `update` that uses no parameters, and wx and rh by their sum alone. What it says
    must be what `update` says: a cell whose formula does not agree runs by its steps.
    """

    @abstractmethod
    def update(self, sums: tuple[Tensor, ...], state: State, new_state: State) -> None:
        """Write the new state, and leave in the place of the sums what `derive` is made from.

        Args:
            sums: ``W x_t + b + R h_{t-1}`` of each of the G gates, shape (B, H).
            state: S tensors of shape (B, H), not to be changed.
            new_state: where the new ones belong.
        """

    @abstractmethod
    def derive(self, left_BGH: Tensor, state: State, new_state: State) -> tuple[Tensor, ...]:
        """Compute of many steps at once what `back` multiplies by.

        Args:
            left_BGH: what `update` has left, shape (..., B, G, H), not to be changed.
            state: as `update` took it, shape (..., B, H).
            new_state: as it wrote it.

        Returns:
            Tensors of shape (..., B, n, H), n being G, 1 or whatever suits.
        """

    @abstractmethod
    def back(
        self, local: tuple[Tensor, ...], grads: State, grad_sum_BGH: Tensor, grads_before: State
    ) -> Tensor | None:
        """Write dL/dsum_t and dL/ds_{t-1} of all state tensors but h.

        Args:
            local: what `derive` has computed of this step, shape (B, n, H).
            grads: dL/ds_t, S tensors of shape (B, 1, H); may be changed, but for h.
            grad_sum_BGH: where dL/dsum_t belongs, shape (B, G, H).
            grads_before: where dL/ds_{t-1} belongs, likewise; that of h is not to be touched.

        Returns:
            What of dL/dh_{t-1} does not come through ``R h_{t-1}``, shape (B, 1, H); None if
            nothing.
        """
