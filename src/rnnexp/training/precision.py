"""What ``trainer.precision`` makes of weights and inputs, and of what is computed of them."""

from typing import Literal, cast

from pytorch_lightning.plugins.precision import (
    DoublePrecision,
    HalfPrecision,
    MixedPrecision,
    Precision,
)


def precision_of(name: str) -> Precision:
    """Make Lightning's precision on the CPU, for where no Trainer has made one.

    Args:
        name: ``trainer.precision``.
    """
    if name == "64-true":
        return DoublePrecision()
    if name == "bf16-true":
        return HalfPrecision("bf16-true")
    if name.endswith("-mixed"):
        return MixedPrecision(cast(Literal["16-mixed", "bf16-mixed"], name), "cpu")
    return Precision()
