"""The files that options of tasks name: found, and what keeps them from being read, in words."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG

from rnnexp.errors import ConfigError


@contextmanager
def reading(key: str, path: str, what: str) -> Generator[Path]:
    """Find a file, and say why it cannot be read where that turns out inside the ``with``.

    Args:
        key: of the option that names it, such as ``task.path``.
        path: the file; ``~`` is a home folder.
        what: it should hold, such as ``table``.

    Raises:
        ConfigError: it is not there, is a pipe, a folder or a device, or holds something else.
    """
    try:
        file = Path(path).expanduser()
        if not S_ISREG(file.stat().st_mode):
            raise ConfigError(
                f"{key}={path}: is no regular file but a pipe, a folder or a device. It is read "
                "more than once: write what it should hold into a file."
            )
        yield file
    except ConfigError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"{key}={path}: cannot be read: {reason}.") from error
    except Exception as error:  # numpy, pandas and zipfile raise whatever damage leads to
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise ConfigError(f"{key}={path}: no {what} that can be read: {reason}.") from error
