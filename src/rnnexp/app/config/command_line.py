"""Words of commands that the program hints at: such as can be typed, whatever is in them."""

import shlex
from pathlib import Path

from rnnexp.app.config.overrides import parse, quoted
from rnnexp.errors import ConfigError


def key_value(key: str, value: str | Path) -> str:
    """Write ``KEY=VALUE`` so that a shell hands it on and Hydra reads this very value."""
    return shlex.quote(override(key, value))


def override(key: str, value: str | Path) -> str:
    """Write ``KEY=VALUE`` so that Hydra reads this very value; no shell comes before it."""
    word = f"{key}={value}"
    return word if _is_read_as(word, str(value)) else f"{key}={quoted(str(value))}"


def _is_read_as(word: str, value: str) -> bool:
    try:
        (parsed,) = parse([word])
    except ConfigError:
        return False
    return bool(parsed.value() == value)
