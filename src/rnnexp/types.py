"""The dimension letters of the whole project, and the types made of them.

A name ends in the letters of its axes, in order: ``x_TBI`` is time by batch by input.

    T  time steps        B  batch rows        I  input features
    H  hidden units      O  output features   G  gates of a cell
    S  state tensors     V  vocabulary        K  runs trained together

A function whose names end in ``BH`` accepts further leading axes too: ``...BH``.
"""

from torch import Tensor

State = tuple[Tensor, ...]
"""What a cell carries from one step to the next: S tensors, often of shape (B, H); (B, ...) of
whatever a cell needs."""
