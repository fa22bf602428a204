"""What Hydra's ConfigStore holds of the plugins, as one command of a process follows another."""

from collections.abc import Iterator
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore

from rnnexp.app.config.store import register_configs
from rnnexp.registry import Registry, register_task


class First:
    def __init__(self, *, size: int = 3) -> None: ...


class Second:
    def __init__(self, *, width: int = 4) -> None: ...


class Odd:
    def __init__(self, *, size: str = None) -> None: ...  # noqa: RUF013


@pytest.fixture
def nodes(registry: Registry) -> Iterator[dict[str, Any]]:
    """What is stored of the tasks; without those of the test in the end."""
    register_configs()
    stored = ConfigStore.instance().repo["task"]
    before = dict(stored)
    yield stored
    registry.entries.pop(("task", "mine"), None)
    register_configs()
    assert stored == before


def test_a_schema_is_made_once(nodes: dict[str, Any]) -> None:
    before = dict(nodes)
    register_configs()
    assert all(nodes[name] is before[name] for name in before)


def test_a_plugin_that_is_replaced_or_gone_leaves_no_schema(
    nodes: dict[str, Any], registry: Registry
) -> None:
    for cls, keys in ((First, {"size"}), (Second, {"width"}), (First, {"size"})):
        with registry.giving_way():
            register_task("mine")(cls)
        register_configs()
        assert set(nodes["mine.yaml"].node) == {"name", *keys}
    del registry.entries["task", "mine"]
    register_configs()
    assert "mine.yaml" not in nodes


def test_one_that_makes_no_config_leaves_none_of_its_predecessor(
    nodes: dict[str, Any], registry: Registry
) -> None:
    register_task("mine")(First)
    register_configs()
    with registry.giving_way():
        register_task("mine")(Odd)
    register_configs()
    assert "mine.yaml" not in nodes
    assert "'mine' makes no config" in str(registry.failures[-1])
