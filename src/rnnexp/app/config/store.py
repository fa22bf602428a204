"""Teach Hydra the schema: the groups of this package, and every registered plugin."""

from collections.abc import Iterable, Iterator
from dataclasses import field, make_dataclass, replace
from functools import cache
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import BooleanNode, OmegaConf
from omegaconf.errors import ValidationError

from rnnexp.app.config.schema import GROUPS, RootOptions
from rnnexp.options import Option, options_of, schema_of, split_optional
from rnnexp.registry import REGISTRY, Entry, Kind

SCHEMA = "rnnexp_schema"
_SWEEPER = "hydra_plugins.rnnexp_grid_sweeper.grid_sweeper.GridSweeper"


_STORED: dict[tuple[Kind, str], Entry] = {}
"""What stands in Hydra's ConfigStore: the commands of a process need not make it again."""


def register_configs() -> None:
    """Have Hydra's ConfigStore hold the root schema, and a node for each plugin of the registry."""
    Plugins.instance()  # stores its own nodes when it is made
    store = ConfigStore.instance()
    _store_root(store)
    kinds: tuple[Kind, ...] = ("cell", "task")
    for kind in kinds:
        for entry in REGISTRY.all(kind):
            if _STORED.get((kind, entry.name)) is not entry:
                _store_plugin(store, entry)
    for kind, name in _STORED.keys() - REGISTRY.entries.keys():
        del _STORED[kind, name], store.repo[kind][f"{name}.yaml"]


@cache
def _store_root(store: ConfigStore) -> None:
    # In this program only, which has checked all jobs before Hydra begins. An `override` in the
    # root config instead would win over that of an experiment.
    sweeper = BasicSweeperConf(_target_=_SWEEPER)
    store.store(group="hydra/sweeper", name="basic", node=sweeper, provider="rnnexp")
    store.store(name=SCHEMA, node=_root_schema(), provider="rnnexp")


def _store_plugin(store: ConfigStore, entry: Entry) -> None:
    try:
        options = (Option("name", str, entry.name), *entry.options)
        schema = schema_of(f"{entry.kind}_{entry.name}", _with_switches(options))
        store.store(group=entry.kind, name=entry.name, node=schema, provider=str(entry.file))
        _STORED[entry.kind, entry.name] = entry
        node = store.repo[entry.kind][f"{entry.name}.yaml"].node
        for option in options:
            if isinstance(option.default, dict):  # a mapping, whose keys are not those of a schema
                OmegaConf.set_struct(node[option.name], False)
    except Exception as error:  # what loading it did not foresee is to stop this plugin alone
        text = f"The {entry.kind} '{entry.name}' makes no config. {type(error).__name__}: {error}"
        REGISTRY.drop(entry, " ".join(text.split()))


class Switch(BooleanNode):
    """A boolean of a config: of numbers it takes 0 and 1, OmegaConf's own takes any."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Switch":
        """Copy it as what it is; OmegaConf's would make one of its own."""
        copied = Switch()
        self._deepcopy_impl(copied, memo)
        return copied

    def _validate_and_convert_impl(self, value: Any) -> bool:
        try:
            if not isinstance(value, int) or value in (0, 1):
                return super()._validate_and_convert_impl(value)
        except ValidationError:
            pass  # OmegaConf's words are of a type of Python
        raise ValidationError("expected true or false, got $VALUE")


def _with_switches(options: Iterable[Option]) -> Iterator[Option]:
    for option in options:
        kind, optional = split_optional(option.type)
        if kind is bool:
            yield replace(option, default=Switch(option.default, is_optional=optional))
        else:
            yield option


def _root_schema() -> type:
    fields: list[tuple[str, Any, Any]] = [(kind, Any, "???") for kind in ("task", "cell")]
    for name, group in GROUPS.items():
        schema = schema_of(group.__name__, _with_switches(options_of(group)))
        fields.append((name, schema, field(default_factory=schema)))
    fields += [("optimizer", Any, "???"), ("scheduler", Any, "???")]
    fields.append(("callbacks", dict[str, Any], field(default_factory=dict[str, Any])))
    return make_dataclass("Config", [*fields, *_fields(_with_switches(options_of(RootOptions)))])


def _fields(options: Iterable[Option]) -> list[tuple[str, Any, Any]]:
    schema = schema_of("Root", options)
    return [(f.name, f.type, f) for f in schema.__dataclass_fields__.values()]
