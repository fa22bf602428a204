"""``hydra/sweeper=grid`` and its options."""

from dataclasses import dataclass

from hydra._internal.core_plugins.basic_sweeper import BasicSweeperConf
from hydra.core.config_store import ConfigStore


@dataclass
class GridSweeperConf(BasicSweeperConf):
    """As ``hydra/sweeper=basic``: ``params`` are dimensions by key; the command line wins."""

    _target_: str = "hydra_plugins.rnnexp_grid_sweeper.grid_sweeper.GridSweeper"


ConfigStore.instance().store(
    group="hydra/sweeper", name="grid", node=GridSweeperConf, provider="rnnexp"
)
