"""Compose the jobs of a sweep: those that differ in plain values only are composed once.

Hydra takes tens of milliseconds for a config, whatever little distinguishes it from the last one.
"""

from collections.abc import Callable, Iterable
from functools import cache

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rnnexp.app.config.overrides import parse

_PLAIN = (bool, int, float, str, type(None))
_Family = tuple[tuple[str, ...], tuple[str, ...]]


class Composer:
    """Composes jobs while Hydra is initialized; gives what ``compose`` would for each alone.

    Args:
        compose: composes one job, and says in words what is wrong with it.
    """

    def __init__(self, compose: Callable[[list[str]], DictConfig]) -> None:
        self._compose = compose
        self._first: dict[_Family, DictConfig] = {}
        self._is_group = cache(_is_group)  # Hydra looks through its folders for each answer
        self._read = cache(_read)  # jobs have most words in common

    def of(self, overrides: list[str]) -> DictConfig:
        """Compose one job.

        Args:
            overrides: its own, without several values for a key.

        Returns:
            The config, until the next call: jobs that differ in plain values share it. To copy it
            takes longer than all else.
        """
        plain: dict[str, object] = {}
        others: list[Override] = []
        for override in map(self._read, overrides):
            if self._is_plain(override):
                plain[override.key_or_group] = override.value()
            else:
                others.append(override)
        if self._order_matters(plain, others):
            return self._compose(overrides)
        family = tuple(plain), tuple(str(override.input_line) for override in others)
        if family not in self._first:
            self._first[family] = self._compose(overrides)
        try:
            return _set(self._first[family], plain.items())
        except OmegaConfBaseException:
            return self._compose(overrides)  # fails as well, and says why

    def _is_plain(self, override: Override) -> bool:
        # A value of the config: no choice, none of Hydra's own, nor one that refers to another.
        changes = not (override.is_add() or override.is_force_add() or override.is_delete())
        value = override.value()
        readable = isinstance(value, _PLAIN) and "${" not in str(value)
        own = override.is_hydra_override() or override.package is not None
        return changes and readable and not own and not self._is_group(override.key_or_group)

    def _order_matters(self, plain: Iterable[str], others: Iterable[Override]) -> bool:
        keys = [o.key_or_group for o in others if not self._chooses(o)]
        return any(_touch(key, other) for key in plain for other in keys)

    def _chooses(self, override: Override) -> bool:
        # task={length: 7} sets a value, though `task` is a group.
        return self._is_group(override.key_or_group) and not isinstance(override.value(), dict)


def _is_group(key: str) -> bool:
    # A group is named as a path is; what has dots is a key.
    return "." not in key and bool(GlobalHydra.instance().config_loader().get_group_options(key))


def _touch(one: str, other: str) -> bool:
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _read(word: str) -> Override:
    (override,) = parse([word])
    return override


def _set(config: DictConfig, values: Iterable[tuple[str, object]]) -> DictConfig:
    for key, value in values:
        OmegaConf.update(config, key, value, merge=True)  # as Hydra sets them
    return config
