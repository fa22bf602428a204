"""Limits of a cell's options."""

from rnnexp.errors import ConfigError


def require(holds: bool, option: str, limits: str, value: object) -> None:
    """Refuse an option's value that makes no sense.

    Args:
        holds: whether the value is within its limits; comparisons with NaN never are.
        option: its name.
        limits: completes "must be ...".
        value: what was given.

    Raises:
        ConfigError: it does not hold.
    """
    if not holds:
        raise ConfigError(f"cell.{option}: must be {limits}, got {value}.")
