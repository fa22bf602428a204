"""Teach Hydra the schema: the groups of this package, and every registered plugin."""

from collections.abc import Iterable
from dataclasses import field, make_dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import BooleanNode, DictConfig, OmegaConf
from omegaconf.errors import ValidationError

from rnnexp.app.config.schema import GROUPS, RootOptions
from rnnexp.options import Option, options_of, schema_of, split_optional
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
    root = OmegaConf.structured(_root_schema())
    _set_switches(root, options_of(RootOptions))
    for name, group in GROUPS.items():
        _set_switches(root[name], options_of(group))
    store.store(name=SCHEMA, node=root, provider="rnnexp")
    kinds: tuple[Kind, ...] = ("cell", "task")
    for kind in kinds:
        for entry in REGISTRY.all(kind):
            _store_plugin(store, entry)


def _store_plugin(store: ConfigStore, entry: Entry) -> None:
    try:
        options = (Option("name", str, entry.name), *entry.options)
        node = OmegaConf.structured(schema_of(f"{entry.kind}_{entry.name}", options))
        _set_switches(node, options)
        for option in options:
            if isinstance(option.default, dict):  # a mapping, whose keys are not those of a schema
                OmegaConf.set_struct(node[option.name], False)
        store.store(group=entry.kind, name=entry.name, node=node, provider=str(entry.file))
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


def _set_switches(node: DictConfig, options: Iterable[Option]) -> None:
    for option in options:
        kind, optional = split_optional(option.type)
        if kind is bool:
            node[option.name] = Switch(option.default, is_optional=optional)


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
    return [(f.name, f.type, f) for f in schema.__dataclass_fields__.values()]
