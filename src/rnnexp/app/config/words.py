"""What Hydra's texts say, for errors in this project's words."""

import re

from rnnexp.errors import ConfigError


def choices(group: str, text: str) -> list[str]:
    """List the choices of a group that an error of Hydra's names."""
    listed = re.search(rf"Available options in '{group}':\n(.*?)(?=\n\S|\Z)", text, re.S)
    lines = listed[1].splitlines() if listed else []
    return [line.strip() for line in lines if line.strip()]


def of_a_sweep(text: str) -> ConfigError | None:
    """Say what to do about several values without ``-m``; None where the text is of another."""
    sweep = re.search(r"(?:Ambiguous value for argument|Sweep parameters) '(.+?)=(.*)'", text)
    if sweep is None:
        return None
    return ConfigError(
        f"{sweep[1]}={sweep[2]}: several values are a sweep. Begin with -m, as in rnnexp train "
        f"-m '{sweep[1]}={sweep[2]}'; one value that is a list stands in brackets."
    )
