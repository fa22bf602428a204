"""Where the config tree and the shipped plugins lie: in the wheel, or in the checkout."""

from pathlib import Path

from rnnexp.errors import RnnexpError

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent.parent


def conf_dir() -> Path:
    """Return the folder of the Hydra config tree."""
    return _shipped("conf")


def plugins_dir() -> Path:
    """Return the folder of the plugins that travel with the package."""
    return _shipped("plugins")


def _shipped(name: str) -> Path:
    for root in (_PACKAGE, _CHECKOUT):
        if (root / name).is_dir():
            return root / name
    raise RnnexpError(
        f"The folder '{name}' is missing from this installation; install rnnexp again."
    )
