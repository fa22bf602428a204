"""Teach Hydra the schema: the groups of this package, and every registered plugin."""

from collections.abc import Iterable
from dataclasses import field, make_dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from rnnexp.app.config.schema import GROUPS, RootOptions
from rnnexp.options import Option, options_of, schema_of
from rnnexp.registry import REGISTRY, Entry, Kind

SCHEMA = "rnnexp_schema"
_SWEEPER = "hydra_plugins.rnnexp_grid_sweeper.grid_sweeper.GridSweeper"


def register_configs() -> None:
    """Put the root schema and one node per plugin into Hydra's ConfigStore."""
    Plugins.instance()  # stores its own nodes when it is made
    store = ConfigStore.instance()
    # In this program only, which has checked all jobs before Hydra begins. An `override` in the
    # root config instead would win over that of an experiment.
    sweeper = BasicSweeperConf(_target_=_SWEEPER)
    store.store(group="hydra/sweeper", name="basic", node=sweeper, provider="rnnexp")
    store.store(name=SCHEMA, node=_root_schema(), provider="rnnexp")
    kinds: tuple[Kind, ...] = ("cell", "task")
    for kind in kinds:
        for entry in REGISTRY.all(kind):
            _store_plugin(store, entry)


def _store_plugin(store: ConfigStore, entry: Entry) -> None:
    try:
        options = (Option("name", str, entry.name), *entry.options)
        node = OmegaConf.structured(schema_of(f"{entry.kind}_{entry.name}", options))
        for option in options:
            if isinstance(option.default, dict):  # a mapping, whose keys are not those of a schema
                OmegaConf.set_struct(node[option.name], False)
        store.store(group=entry.kind, name=entry.name, node=node, provider=str(entry.file))
    except Exception as error:  # what loading it did not foresee is to stop this plugin alone
        text = f"The {entry.kind} '{entry.name}' makes no config. {type(error).__name__}: {error}"
        REGISTRY.drop(entry, " ".join(text.split()))


def _root_schema() -> type:
    fields: list[tuple[str, Any, Any]] = [(kind, Any, "???") for kind in ("task", "cell")]
    for name, group in GROUPS.items():
        schema = schema_of(group.__name__, options_of(group))
        fields.append((name, schema, field(default_factory=schema)))
    fields += [("optimizer", Any, "???"), ("scheduler", Any, "???")]
    fields.append(("callbacks", dict[str, Any], field(default_factory=dict[str, Any])))
    return make_dataclass("Config", [*fields, *_fields(options_of(RootOptions))])


def _fields(options: Iterable[Option]) -> list[tuple[str, Any, Any]]:
    schema = schema_of("Root", options)
    return [(f.name, f.type, f) for f in schema.__dataclass_fields__.values()]  # type: ignore[attr-defined]
