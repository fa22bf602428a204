"""What ``trainer.precision`` makes of weights and inputs."""

from pytorch_lightning.plugins.precision import DoublePrecision, HalfPrecision, Precision


def precision_of(name: str) -> Precision:
    """Make Lightning's converter of weights and inputs, for where no Trainer has made them yet.

    Args:
        name: ``trainer.precision``; one that leaves weights in float32 converts nothing.
    """
    if name == "64-true":
        return DoublePrecision()
    return HalfPrecision("bf16-true") if name == "bf16-true" else Precision()
