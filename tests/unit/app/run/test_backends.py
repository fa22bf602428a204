"""A run's tags name the backend that its training steps ran by."""

from pathlib import Path

import pytest
import torch

import rnnexp.recurrence.network as network
from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.run.run import run
from rnnexp.recurrence.unroll import Unrolled, unroll
from rnnexp.registry import Registry
from rnnexp.tracking import Journals, load_run
from rnnexp.training.interrupt import StopRequest

WORDS = ["task.length=6", "cell.hidden_size=4", "trainer.max_steps=2", "task.val_batches=1"]
WORDS += ["task.test_batches=1", "monitor.pictures=never", "trainer.progress=none"]
WORDS += ["tracking.wait=0", "flush_denormal=false", "monitor.flow_every=null"]

RUNS = {
    "native": ["cell=elman"],
    "pointwise": ["cell=elman", "trainer.precision=bf16-mixed"],
    "vendor": ["cell=lstm", "trainer.precision=bf16-true"],
    "native, float64": ["cell=elman", "trainer.precision=64-true"],
    "pointwise, for Omega": ["cell=elman", "omega=paper"],
    "scan": ["cell=min_gru", "trainer.precision=bf16-mixed"],
}


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The backends that training steps run by."""
    names = set[str]()

    def noting(*args, **kwargs) -> Unrolled:
        unrolled = unroll(*args, **kwargs)
        if torch.is_grad_enabled():
            names.add(unrolled.backend)
        return unrolled

    monkeypatch.setattr(network, "unroll", noting)
    return names


@pytest.mark.parametrize("wanted", RUNS)
def test_the_tag_names_what_ran(
    workdir: Path, plugins: Registry, used: set[str], wanted: str
) -> None:
    assert train_with(RUNS[wanted]) == used == {wanted.partition(",")[0]}


@pytest.mark.parametrize("word", ["monitor.flow_every=null", "monitor.flow_every=100"])
def test_mixed_precision_trains_an_lstm_on_any_cpu(
    workdir: Path, plugins: Registry, used: set[str], word: str
) -> None:
    # Torch's own LSTM where the CPU has the instructions for it.
    tagged = train_with(["cell=lstm", "trainer.precision=bf16-mixed", word])
    used -= {"pointwise"} if "vendor" in used else set()  # the first step's flow goes on record
    assert tagged == used
    assert used <= {"vendor", "pointwise"}


def train_with(words: list[str]) -> set[str]:
    prepare([])
    plan = check_jobs([*WORDS, *words], multirun=False, config_dir=None)[0].plan
    folder = Path("run")
    folder.mkdir()
    outcome = run(plan, folder, Journals("sqlite:///no.db", None), StopRequest(), tags={})
    assert outcome.status == "FINISHED", outcome.error
    return {load_run(folder).tags["rnnexp.backend.layer0"]}
