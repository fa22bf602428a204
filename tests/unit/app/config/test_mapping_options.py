"""An option that is a mapping takes new keys; one that has no default must be given."""

from pathlib import Path
from typing import Any

import pytest

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.errors import ConfigError
from rnnexp.registry import Registry

PLUGINS = """
import torch
from pytorch_lightning import Callback
from rnnexp.cells import PointwiseCell, register_cell
from rnnexp.registry import register_callback

@register_cell("scaled")
class Scaled(PointwiseCell):
    num_gates = 1

    def __init__(
        self,
        input_size: int,
        *,
        none: dict[str, float] = {},
        one: dict[str, float] = {"a": 1.0},
        maybe: dict[str, float] | None = None,
        **options,
    ):
        super().__init__(input_size, **options)

    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh((wx_BGH + rh_BGH).squeeze(-2)),)

@register_callback("needy")
class Needy(Callback):
    def __init__(self, *, key: str, every: int = 1): ...
"""


@pytest.fixture
def lab(workdir: Path, registry: Registry) -> list[str]:
    (workdir / "lab").mkdir()
    (workdir / "lab" / "scaled.py").write_text(PLUGINS)
    words = ["plugin_dirs=[lab]", "cell=scaled"]
    assert prepare(words) == []
    return words


def _values(words: list[str]) -> Any:
    (job,) = check_jobs(words, multirun=False, config_dir=None)
    return job.plan.values


@pytest.mark.parametrize(
    ("word", "name", "held"),
    [
        ("cell.none={b:2}", "none", {"b": 2}),
        ("cell.none.b=2", "none", {"b": 2}),
        ("+cell.none.b=2", "none", {"b": 2}),
        ("cell.one={b:2}", "one", {"a": 1.0, "b": 2}),
        ("cell.one.b=2", "one", {"a": 1.0, "b": 2}),
        ("cell.maybe={b:2}", "maybe", {"b": 2}),
    ],
)
def test_a_mapping_takes_new_keys(lab: list[str], word: str, name: str, held: object) -> None:
    assert _values([*lab, word])["cell"][name] == held


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("cell.none={b:x}", "cell.none: expected dict, got {'b': 'x'}."),
        ("cell.nine.b=2", "Unknown key 'cell.nine'. Did you mean 'none'?"),
        ("cell.maybe.b=2", "cell.maybe has no keys yet. Where it takes a mapping, give it whole: "),
        ("optimizer.lr.b=2", "Unknown key 'optimizer.lr.b': optimizer.lr is 0.002 and has no key"),
        ("+callbacks.needy={}", "callbacks.needy.key: a value is needed and none is given. Give +"),
        ("+callbacks.needy.every=2", "Give +callbacks.needy.key=VALUE."),
    ],
)
def test_what_a_mapping_or_a_callback_cannot_do_with_is_refused(
    lab: list[str], word: str, said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        check_jobs([*lab, word], multirun=False, config_dir=None)
    assert said in str(refused.value)


def test_a_callback_that_is_given_what_it_needs_is_taken(lab: list[str]) -> None:
    assert _values([*lab, "+callbacks.needy.key=x"])["callbacks"] == {"needy": {"key": "x"}}
