"""The words of a command as Hydra's overrides; one that Hydra cannot read is shown as it can."""

import shlex
from collections.abc import Iterator, Mapping, Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from rnnexp.errors import ConfigError
from rnnexp.tracking import is_outside_identity


def parse(overrides: Sequence[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Parse overrides.

    Args:
        overrides: as on a command line.
        loader: knows the choices of a group; only ``glob`` asks for them.

    Raises:
        ConfigError: one is not well formed; says how it would be.
    """
    try:
        return OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
    except HydraException as error:
        raise unreadable(overrides, error) from error


def with_params(params: Mapping[str, object] | None, overrides: Sequence[str]) -> list[str]:
    """Put what a config has a sweep vary before the overrides of a command, which win.

    Args:
        params: ``hydra.sweeper.params``: values by key, as on a command line; None has none.
        overrides: those of the command.
    """
    given = {override.key_or_group for override in parse(overrides)}
    own = [f"{key}={value}" for key, value in (params or {}).items() if key not in given]
    return [*own, *overrides]


def check_varied(overrides: Sequence[Override]) -> None:
    """Refuse values that would make no jobs of their own.

    Args:
        overrides: what a sweep varies, and what all of its jobs have in common.

    Raises:
        ConfigError: a key varies that is no part of what tells jobs apart.
    """
    for override in overrides:
        key = override.key_or_group
        if override.is_sweep_override() and is_outside_identity(key):
            raise ConfigError(
                f"{override.input_line}: where runs are found, kept and shown cannot vary within a "
                f"sweep, for jobs that differ in it alone are the same job. Give {key} one value; "
                "for another start another command."
            )


def check_switches(overrides: Sequence[Override], config: DictConfig) -> None:
    """Refuse numbers for what is true or false: OmegaConf takes any but 0 for true.

    Args:
        overrides: of a command.
        config: what they make, with the usual values where they give several.

    Raises:
        ConfigError: one is neither 0 nor 1.
    """
    for override in overrides:
        for key, value in _values_of(override):
            is_switch = isinstance(OmegaConf.select(config, key), bool)
            if is_switch and value.lstrip("+-").isdigit() and int(value) not in (0, 1):
                raise ConfigError(f"{key}: expected true or false, got {value}.")


def _values_of(override: Override) -> list[tuple[str, str]]:
    key = override.key_or_group
    # glob(*) is of choices of a group, which Hydra looks up later; none is a switch.
    if override.is_discrete_sweep() and not isinstance(override.value(), Glob):
        return [(key, value) for value in override.sweep_string_iterator()]
    return list(_values_in(key, override.value()))


def _values_in(key: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _values_in(f"{key}.{name}", part)
    else:
        yield key, str(value)


def unreadable(overrides: Sequence[str], error: Exception) -> ConfigError:
    """Say which override Hydra cannot read, and how to write it.

    Args:
        overrides: as on a command line.
        error: what Hydra said of them.
    """
    word = next((w for w in overrides if w.startswith("=") or not _is_read(w)), None)
    first = str(error).partition("\n")[0]
    if word is None:
        return _no_choice(overrides) or ConfigError(f"Cannot read {' '.join(overrides)}: {first}")
    key, equals, value = word.partition("=")
    if not (key and equals):
        return ConfigError(f"Cannot read '{word}': give KEY=VALUE, such as cell=lstm.")
    in_quotes = f"{key}={quoted(value)}"
    if not set(value) & set("[]{}(),\"'") and _is_read(in_quotes):
        return ConfigError(
            f"Cannot read {word}: such a value takes quotes of its own. Give "
            f"{shlex.quote(in_quotes)}, with both pairs."
        )
    return ConfigError(f"Cannot read {word}: {first}")


def _no_choice(overrides: Sequence[str]) -> ConfigError | None:
    # A group was given something that is no name, such as clip=2.0.
    loader = GlobalHydra.instance().config_loader()
    for override in parse(overrides):
        group, value = override.key_or_group, override.value()
        names = loader.get_group_options(group)
        chosen = value if isinstance(value, list) else [value]
        if names and not all(isinstance(name, str) for name in chosen):
            return ConfigError(
                f"{override.input_line}: {group}= takes one of its names, {', '.join(names)}. "
                f"Values go to its keys, as in {group.replace('/', '.')}.KEY=VALUE."
            )
    return None


def quoted(text: str) -> str:
    """Quote a value for Hydra; in double quotes, for a shell's own are single ones."""
    escaped = text.replace('"', '\\"')
    return f'"{escaped}"'


def _is_read(word: str) -> bool:
    try:
        OverridesParser.create().parse_overrides([word])
    except HydraException:
        return False
    return True
