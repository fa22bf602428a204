"""What a task gives to the record: names of its own, and text."""

import pytest
import torch

from rnnexp.errors import PluginError
from rnnexp.registry import Registry
from rnnexp.tasks import Task
from rnnexp.tasks.record import ENGINES_OWN, facts_of, metrics_of


@pytest.fixture
def task(plugins: Registry, monkeypatch: pytest.MonkeyPatch):
    cls = plugins.get("task", "one_unit").cls

    def make(figures: object = (), facts: object = ()) -> Task:
        monkeypatch.setattr(cls, "metrics", lambda *_: figures)
        monkeypatch.setattr(cls, "facts", facts)
        return cls()

    return make


@pytest.mark.parametrize(
    "name", [*ENGINES_OWN, "loss_T20", "loss_free_T5", "loss_T5_free", "hits_T20", "hits_free"]
)
def test_a_figure_under_a_name_of_the_engines_is_refused(task, name: str) -> None:
    given = task({"hits": torch.ones(()), name: torch.ones(())})
    with pytest.raises(PluginError, match=f"OneUnitTask: metrics gives a figure '{name}', and "):
        metrics_of(given, torch.ones(2, 1), torch.ones(2, 1))


def test_other_names_are_the_tasks_own(task) -> None:
    figures = {name: torch.ones(()) for name in ("hits", "loss_of_half", "T5", "bias_T5", "Loss")}
    assert metrics_of(task(figures), torch.ones(2, 1), torch.ones(2, 1)) == figures


def test_facts_are_text(task) -> None:
    facts = {"size": 3, "mean": 0.5, "text.sha256": "abc", 7: None}
    text = {"size": "3", "mean": "0.5", "text.sha256": "abc", "7": "None"}
    assert facts_of(task(facts=facts)) == text


def test_what_is_no_dictionary_is_refused(task) -> None:
    given = task(None, ["size"])
    with pytest.raises(PluginError, match=r"facts must give a dictionary, .* got list"):
        facts_of(given)
    with pytest.raises(PluginError, match=r"metrics must give a dictionary, .* got NoneType"):
        metrics_of(given, torch.ones(2, 1), torch.ones(2, 1))
