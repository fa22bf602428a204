"""How the work of one time step is shared out: among blocks, threads and their registers."""

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import takewhile

_WARP = 32
_FOUR = 4
"""Numbers that a thread reads from shared memory at once."""
_ARRIVALS = 2 * 8
"""Bytes of what tells that a vector has come, of both turns."""
_ROWS = (1, 2, 3, 4, 6, 8)
"""More would leave no registers for their sums."""


@dataclass(frozen=True)
class Limits:
    """What a GPU gives to the blocks of a cluster.

    Args:
        weights: numbers of R that a thread keeps in its registers.
        threads: of a block; all registers of a multiprocessor are theirs then.
        cluster: blocks that reach each other's shared memory; 1 where the GPU has no clusters.
        shared: bytes of shared memory that a block may have.
        number: bytes of a number.
    """

    weights: int
    threads: int
    cluster: int
    shared: int
    number: int

    @classmethod
    def of_gpu(cls, capability: tuple[int, int], shared: int, number: int) -> "Limits":
        """Give those of a compute capability; 8 blocks are what every GPU with clusters has."""
        return cls(256 // number, 512, 8 if capability >= (9, 0) else 1, shared, number)


@dataclass(frozen=True)
class Geometry:
    """The share of each block and thread.

    Args:
        units: H.
        recurrent: gates that have an R.
        cluster: blocks that share some rows of the batch.
        rows: how many rows they share.
        forward_parts: threads that share a sum of R h.
        backward_parts: threads that share a sum of R^T dL/d(R h).
    """

    units: int
    recurrent: int
    cluster: int
    rows: int
    forward_parts: int
    backward_parts: int

    @property
    def owned(self) -> int:
        """Hidden units of a block."""
        return -(-self.units // self.cluster)

    @property
    def threads(self) -> int:
        """Threads of a block."""
        forward = _filled(self.recurrent * self.owned, _WARP) * self.forward_parts
        return max(forward, _filled(self.owned, _WARP) * self.backward_parts)

    def shared(self, number: int) -> int:
        """Bytes of shared memory that a block needs: two vectors by turns, and the sums."""
        if not self.recurrent:
            return _ARRIVALS
        per_row = max(
            2 * _filled(self.units, _FOUR * self.forward_parts)
            + _filled(self.recurrent * self.owned, _WARP) * self.forward_parts,
            2 * _filled(self.recurrent * self.units, _FOUR * self.backward_parts)
            + _filled(self.owned, _WARP) * self.backward_parts,
        )
        return _filled(self.rows * per_row * number + _ARRIVALS, 16)

    def defines(self, number: int) -> str:
        """Write it for the compiler; numbers have so many bytes."""
        sizes = {
            "UNITS": self.units,
            "CLUSTER": self.cluster,
            "OWNED": self.owned,
            "ROWS": self.rows,
            "FORWARD_PARTS": self.forward_parts,
            "BACKWARD_PARTS": self.backward_parts,
            "THREADS": self.threads,
            "SHARED": self.shared(number),
        }
        return "".join(f"#define {name} {size}\n" for name, size in sizes.items())


@lru_cache
def ways_to_share(units: int, recurrent: int, limits: Limits) -> tuple[Geometry, ...]:
    """List the fewest blocks that hold R in their registers, with more and more rows for each.

    Returns:
        Nothing where R is too large for the registers of a cluster.
    """
    alone = _fewest_blocks(units, recurrent, limits)
    if alone is None:
        return ()
    wider = (replace(alone, rows=rows) for rows in _ROWS)
    return tuple(takewhile(partial(_fits, limits), wider))


def _fewest_blocks(units: int, recurrent: int, limits: Limits) -> Geometry | None:
    parts = _parts(units, recurrent, limits)
    if not recurrent:  # nothing goes from block to block, so that any number will do
        return Geometry(units, 0, -(-units // limits.threads), 1, *parts)
    clusters = (2**i for i in range(limits.cluster.bit_length()))
    ways = (Geometry(units, recurrent, cluster, 1, *parts) for cluster in clusters)
    return next(filter(partial(_fits, limits), ways), None)


def _parts(units: int, recurrent: int, limits: Limits) -> tuple[int, int]:
    backward = -(-recurrent * units // limits.weights)
    return (-(-units // limits.weights), backward) if recurrent else (1, 1)


def _fits(limits: Limits, geometry: Geometry) -> bool:
    # A block without units would have nothing to hand out, and others would not wait for it.
    return (
        (geometry.cluster - 1) * geometry.owned < geometry.units
        and geometry.threads <= limits.threads
        and geometry.rows * geometry.owned <= geometry.threads
        and geometry.shared(limits.number) <= limits.shared
    )


def _filled(count: int, whole: int) -> int:
    return -(-count // whole) * whole
