"""A trained network comes back from its run: the best weights, the run's own plugins."""

import contextlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rnnexp import load_network
from rnnexp.app.config.build import build_task
from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.run.run import run
from rnnexp.errors import ConfigError
from rnnexp.files import RUN
from rnnexp.recurrence import Feed
from rnnexp.registry import Registry
from rnnexp.tracking import Journals
from rnnexp.tracking.files import write_json
from rnnexp.training.interrupt import StopRequest

WORDS = ["task.length=8", "cell.hidden_size=4", "trainer.max_steps=6", "trainer.val_every=3"]
WORDS += ["task.val_batches=1", "task.test_batches=1", "monitor.pictures=never"]
WORDS += ["trainer.progress=none", "tracking.wait=0"]
WORDS += ["flush_denormal=false"]  # it would stay in this process
MATRIX = "cells.0.weight_hh"
CELL = '''
import torch
from rnnexp.cells import PointwiseCell, register_cell

@register_cell("scaled")
class Scaled(PointwiseCell):
    """An Elman unit whose past is scaled."""

    num_gates = 1

    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh((wx_BGH + SCALE * rh_BGH).squeeze(-2)),)
'''


def train(*words: str, name: str = "run", common: Sequence[str] = WORDS) -> Path:
    """Train in this process, and give the folder of the run, with what it ended with in it."""
    prepare(words)
    plan = check_jobs([*common, *words], multirun=False, config_dir=None)[0].plan
    folder = Path("outputs", name)
    folder.mkdir(parents=True)
    outcome = run(plan, folder, Journals("sqlite:///no.db", None), StopRequest(), tags={})
    assert outcome.status == "FINISHED", outcome.error
    torch.save((plan.values, outcome.metrics), folder / "ended.pt")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a simple network."""
    place = tmp_path_factory.mktemp("finished")
    with contextlib.chdir(place):
        return place / train("cell=elman")


@pytest.fixture
def elman(finished: Path, workdir: Path) -> Path:
    """A copy of it below the working folder."""
    return Path(shutil.copytree(finished, Path("outputs", "run")))


def ended(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    return torch.load(folder / "ended.pt")


def test_loss(folder: Path, network: Callable[..., tuple[Tensor, object]]) -> tuple[float, float]:
    """What the run noted as its test loss, and what a network makes of the same batch."""
    values, figures = ended(folder)
    task = build_task(values)
    batch = task.batch("test", 0)
    fed_TBO = task.encode_target(batch.targets) if task.targets_as_inputs else None
    with torch.no_grad():
        outputs, _ = network(batch.inputs_TBI, targets_TBO=fed_TBO)
    return figures["test/loss"], float(task.loss(outputs, batch.targets))


test_loss.__test__ = False

NETWORKS = {
    "plain": ["cell=lstm"],
    "deep": ["cell=gru", "model.layers=2", "model.dropout=0.5"],
    "both directions": ["cell=elman", "model.bidirectional=true", "model.layers=2"],
    "float64": ["cell=lstm", "trainer.precision=64-true"],
    "fed back": ["cell=jordan", "task=copy_memory"],
    "ridge": ["cell=echo_state", "model.readout_fit=ridge", "model.ridge_batches=2"],
}


@pytest.mark.parametrize("words", NETWORKS.values(), ids=NETWORKS)
def test_it_gives_the_outputs_that_the_run_was_tested_with(
    workdir: Path, registry: Registry, words: list[str]
) -> None:
    folder = train(*words)
    network = load_network(folder)
    assert not network.training
    if "64-true" in " ".join(words):
        assert {weight.dtype for weight in network.parameters()} == {torch.float64}
        loaded = network
        network = lambda x, **fed: loaded(x.double(), **fed)  # noqa: E731
    noted, now = test_loss(folder, network)
    assert now == pytest.approx(noted, rel=1e-6)


def test_a_run_is_found_by_id_by_folder_and_by_checkpoint(elman: Path, workdir: Path) -> None:
    folder = elman
    write_json(folder / RUN, {"run_id": "84248e89" + "0" * 24, "key": "k"})
    x_TBI = torch.randn(8, 3, 2)
    outputs = [
        load_network(wanted)(x_TBI)[0]
        for wanted in ("84248e89", str(folder), folder, folder / "checkpoints" / "best.ckpt")
    ]
    assert outputs[0].shape == (3, 1)
    assert all(torch.equal(outputs[0], other) for other in outputs[1:])
    elsewhere = load_network("84248e89", outputs=workdir)
    assert torch.equal(elsewhere(x_TBI)[0], outputs[0])


def test_the_best_weights_come_before_the_last(workdir: Path, registry: Registry) -> None:
    folder = train("cell=elman", "optimizer.lr=1.0", "trainer.max_steps=12")
    places = folder / "checkpoints"
    kept = {
        name: torch.load(places / name, weights_only=True)["state_dict"][f"network.{MATRIX}"]
        for name in ("best.ckpt", "last.ckpt")
    }
    assert not torch.equal(*kept.values()), "nothing to choose: the test shows nothing"

    def loaded(run: Path) -> Tensor:
        return load_network(run).state_dict()[MATRIX]

    assert torch.equal(loaded(folder), kept["best.ckpt"])
    assert torch.equal(loaded(places / "last.ckpt"), kept["last.ckpt"])
    (places / "best.ckpt").unlink()
    assert torch.equal(loaded(folder), kept["last.ckpt"])


def test_a_run_has_its_own_plugins_and_the_process_keeps_its_own(
    workdir: Path, registry: Registry
) -> None:
    file = workdir / "mine" / "scaled.py"
    file.parent.mkdir()
    words = ["cell=scaled", "plugin_dirs=[mine]"]
    file.write_text(CELL.replace("SCALE", "0.5"))
    half = train(*words, name="half")
    # Now the file is another, as after a change between two sessions.
    file.write_text(CELL.replace("SCALE", "2.0"))
    del registry.entries["cell", "scaled"]
    forget_modules()
    double = train(*words, name="double")
    now = registry.get("cell", "scaled").cls
    for folder in (half, double, half):  # back and forth
        noted, again = test_loss(folder, load_network(folder))
        assert again == pytest.approx(noted, rel=1e-6)
    assert registry.get("cell", "scaled").cls is now


def forget_modules() -> None:
    import sys

    for name in [name for name in sys.modules if name.endswith("_scaled")]:
        del sys.modules[name]


def test_a_file_of_its_task_is_found_from_any_folder(
    workdir: Path, tmp_path_factory: pytest.TempPathFactory, registry: Registry
) -> None:
    Path("data.csv").write_text("x\n" + "\n".join(str(i % 7) for i in range(400)))
    common = [word for word in WORDS if not word.startswith("task.")]
    words = ["task=series", "task.path=data.csv", "task.length=8", "cell=elman"]
    folder = train(*words, common=common).resolve()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with contextlib.chdir(elsewhere):
        assert torch.equal(load_network(folder).state_dict()[MATRIX], best_matrix(folder))
        Path(workdir, "data.csv").unlink()
        with pytest.raises(ConfigError, match=r"data\.csv: cannot be read") as caught:
            load_network(folder)
    assert f"looked for in {elsewhere} and in {workdir}" in str(caught.value)


def best_matrix(folder: Path) -> Tensor:
    best = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    return best["state_dict"][f"network.{MATRIX}"]


def test_it_draws_no_random_numbers_of_the_caller(elman: Path) -> None:
    before = torch.get_rng_state()
    load_network(elman)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_that_feeds_itself_runs_free(workdir: Path, registry: Registry) -> None:
    network = load_network(train("cell=jordan", "task=copy_memory"))
    outputs, _ = network(torch.zeros(5, 2, 10), feed=Feed.free())
    assert outputs.shape[:2] == (5, 2)


def test_what_cannot_be_loaded_is_said_in_words(elman: Path, workdir: Path) -> None:
    folder = elman
    best = folder / "checkpoints" / "best.ckpt"

    def says(run: str | Path, words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            load_network(run)

    says("99999999", "No run '99999999'")
    says("", "No run ''")
    says("outputs", "No run 'outputs'")
    (workdir / "stray.ckpt").write_bytes(b"nothing")
    says("stray.ckpt", "no run's folder")
    content = best.read_bytes()
    best.write_bytes(content[:-9] + b"\0" * 9)
    says(folder, "best.ckpt is no checkpoint, or a damaged one")
    best.write_bytes(content)
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("hidden_size: 4", "hidden_size: 5"))
    says(folder, "holds another network than")
    for file in best.parent.iterdir():
        file.unlink()
    says(folder, "left no checkpoint")


def test_the_package_names_what_it_hands_on_and_nothing_else() -> None:
    import rnnexp

    assert {"load_network", "load_task", "__version__"} <= set(dir(rnnexp))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rnnexp.nothing  # noqa: B018
