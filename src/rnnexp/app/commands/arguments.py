"""Kinds of values on command lines that several commands take."""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rnnexp.errors import ConfigError

LAST_PORT = 65535
PICTURES = (".png", ".svg", ".pdf")


def plain(text: str) -> str:
    """Take the quotes off words in a docstring that stand there for a page of HTML."""
    return text.replace("``", "")


def parser_of(command: str, doc: str | None) -> argparse.ArgumentParser:
    """Make the parser of a command, which its module's docstring describes."""
    return argparse.ArgumentParser(prog=f"rnnexp {command}", description=plain(doc or ""))


def set_by_default(values: Mapping[str, str]) -> None:
    """Set variables of the environment that the user has not set."""
    for name, value in values.items():
        os.environ.setdefault(name, value)


def picture(text: str) -> Path:
    """Read the name of a picture to be drawn.

    Raises:
        ArgumentTypeError: no picture can be written there; argparse says so.
    """
    return _file_to_write(text, PICTURES)


def sheet(text: str) -> Path:
    """Read the name of a table to be written.

    Raises:
        ArgumentTypeError: none can be written there; argparse says so.
    """
    return _file_to_write(text, (".csv",))


def _file_to_write(text: str, endings: Sequence[str]) -> Path:
    file = Path(text)
    if file.suffix.lower() not in endings:
        raise argparse.ArgumentTypeError(f"{text}: end the name in {', '.join(endings)}.")
    if not file.parent.is_dir():
        raise argparse.ArgumentTypeError(
            f"{text}: the folder {file.parent} does not exist. Create it, or name another."
        )
    return file


def port(text: str) -> int:
    """Read the number of a port.

    Raises:
        ArgumentTypeError: there is no such port; argparse says so.
    """
    if not text.isdecimal() or not 1 <= int(text) <= LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text}: give a number from 1 to {LAST_PORT}.")
    return int(text)


_NOT_TAKEN = {
    "config_name": "There is one config; choose a study of it by experiment=NAME",
    "config_path": "There is one config tree; --config-dir DIR adds a folder to it",
    "experimental_rerun": "Use rnnexp rerun RUN",
}
_WITH_CFG = ("package", "resolve")
_ONE_OF = ("run", "multirun", "cfg", "info", "shell_completion")


def hydra_words(command: str, flags: str, arguments: list[str]) -> argparse.Namespace:
    """Parse a command line of Hydra's flags and overrides.

    Args:
        command: such as train.
        flags: those that it takes, as its usage shows them.
        arguments: what follows the command.

    Raises:
        ConfigError: a flag would change nothing; says what to use instead.
    """
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    parser.prog = f"rnnexp {command}"
    parser.usage = f"{parser.prog} [KEY=VALUE ...] {flags}"
    args = parser.parse_intermixed_args(arguments)
    refuse_flags(args)
    return args


def only_informs(args: argparse.Namespace) -> bool:
    """Tell whether Hydra's flags ask to be shown something, and nothing is to run."""
    return bool(args.cfg or args.help or args.hydra_help or args.info or args.shell_completion)


def words_before_hydras(command: str) -> str:
    """Say what of Hydra's own help, which knows nothing of this program, does not hold here."""
    refused = (f"  --{name.replace('_', '-')}: {why}." for name, why in _NOT_TAKEN.items())
    head = f"What Hydra says of its flags holds for rnnexp {command}, but for those refused here:"
    return "\n".join([head, *refused, ""])


def refuse_flags(args: argparse.Namespace) -> None:
    """Refuse flags of Hydra's that would change nothing.

    Raises:
        ConfigError: says what to use instead.
    """
    for name, instead in _NOT_TAKEN.items():
        if getattr(args, name):
            raise ConfigError(f"--{name.replace('_', '-')} is not taken here. {instead}.")
    for name in _WITH_CFG:
        if getattr(args, name) and not args.cfg:
            raise ConfigError(f"--{name} shapes what --cfg job shows. Give --cfg job too.")
    given = [f"--{name.replace('_', '-')}" for name in _ONE_OF if getattr(args, name)]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} cannot go together. Give one of them.")
