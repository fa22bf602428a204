"""new-cell, new-task and check, as an author of a plugin uses them."""

from pathlib import Path

import pytest

from rnnexp.__main__ import run

from ..recorded import runs_in


@pytest.mark.parametrize("kind", ["pointwise", pytest.param("general", marks=pytest.mark.slow)])
def test_a_new_cell_passes_its_check_and_trains(
    rnnexp, workdir: Path, store_uri: str, kind: str
) -> None:
    done = rnnexp("new-cell", "mine", "--kind", kind)
    assert done.code == 0, done.err
    checked = rnnexp("check", "mine", timeout=120)
    assert checked.code == 0, checked.out
    assert "mine keeps its contract." in checked.out
    assert "FAILS" not in checked.out
    options = ["cell=mine", "trainer.max_steps=3", "trainer.val_every=3", "tracking.wait=0"]
    trained = rnnexp("train", *options, "task.length=5", RNNEXP_PLUGINS=".")
    assert trained.code == 0, trained.err


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["generated", "stored"])
def test_a_new_task_passes_its_check_and_is_learned(
    rnnexp, workdir: Path, store_uri: str, kind: str
) -> None:
    assert rnnexp("new-task", "noisy", "--kind", kind, "--folder", "my_tasks").code == 0
    checked = rnnexp("check", "my_tasks/noisy.py")
    assert checked.code == 0, checked.out
    options = ["task=noisy", "trainer.max_steps=200", "cell=gru", "trainer.progress=none"]
    trained = rnnexp("train", *options, RNNEXP_PLUGINS="my_tasks")
    assert trained.code == 0, trained.err
    of_baseline = float(trained.out.partition("of baseline ")[2].partition("%")[0])
    assert of_baseline < 50


BAD = '''
import torch
from rnnexp.cells import PointwiseCell, register_cell

@register_cell("bad")
class Bad(PointwiseCell):
    """A unit that looks at its neighbours.

        h_t = tanh(...)

    Source: nobody.
    """

    num_gates = 1

    def update(self, wx_BGH, rh_BGH, state):
        new_BH = torch.tanh((wx_BGH + rh_BGH).squeeze(-2))
        return (new_BH - new_BH.mean(0, keepdim=True),)
'''


def test_what_is_wrong_is_said(rnnexp, workdir: Path) -> None:
    (workdir / "bad.py").write_text(BAD)
    done = rnnexp("check", "bad.py", "--quick")
    assert done.code == 1
    assert "FAILS  row b depends on row b only" in done.out
    assert "expected  row 0 of the output to depend on row 0" in done.out
    assert "Look for means, norms or products over the batch axis in Bad in" in done.out
    assert "of its promises fail" in done.out


TELLS = '''
from rnnexp.tasks import GeneratedTask, register_task

@register_task("tells")
class Tells(GeneratedTask):
    """A task that tells of its data."""

    patterns = ("last",)
    input_size = output_size = 1
    facts = {facts}

    def generate(self, rng):
        x_TBI = rng.initial_seed() % 2 + torch.zeros(self.length, self.batch_size, 1)
        return x_TBI, x_TBI[0]

    def loss(self, outputs, targets):
        return (outputs - targets).square().mean()
'''


@pytest.mark.parametrize(("facts", "code"), [('{"size": 3}', 0), ('["size"]', 1)])
def test_what_a_task_tells_of_its_data_loses_no_record(
    rnnexp, workdir: Path, store_uri: str, facts: str, code: int
) -> None:
    (workdir / "tells.py").write_text("import torch" + TELLS.replace("{facts}", facts))
    words = ["cell=elman", "task.length=5", "trainer.max_steps=2", "trainer.val_every=2"]
    done = rnnexp("train", "task=tells", *words, "plugin_dirs=[.]")
    assert done.code == code, done.err
    (stored,) = runs_in(store_uri)
    assert stored.info.status == ("FAILED" if code else "FINISHED")
    assert stored.data.tags.get("size") == (None if code else "3")
    said = "The task Tells: facts must give a dictionary, such as {'name': value}, got list."
    assert (said in done.err) == bool(code)


def test_a_callback_is_examined_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "spectral_radius"]) == 0
    assert "spectral_radius keeps its contract." in capsys.readouterr().out


def test_an_unknown_plugin_may_be_a_callback_and_a_name_is_listed_once(
    registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", "nope"]) == 2
    known = capsys.readouterr().err.rstrip(".\n").partition("Known: ")[2].split(", ")
    assert "spectral_radius" in known
    assert len(set(known)) == len(known)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["check", "elsewhere"], "a file in 'lab', which is not loaded unasked"),
        (["train", "cell=elsewhere"], "export RNNEXP_PLUGINS=lab"),
        (["check", "lstn"], "Unknown plugin 'lstn'. Did you mean 'lstm'?"),
        (["check", "none.py"], "none.py: no such file. To begin one: rnnexp new-cell none"),
        (["check", "empty.py"], 'registers nothing. Put @register_cell("empty")'),
        (["check", "broken.py"], "broken.py:1: SyntaxError"),
        (["new-cell", "lstm"], "There is a cell 'lstm' already"),
        (["new-cell", "empty"], "empty.py exists already; nothing was written."),
        (["new-task", "3x"], "'3x' cannot name a task"),
        (["new-task", "class"], "'class' cannot name a task: it is a keyword of Python."),
        (["new-cell", "lambda"], "Take another, such as lambda_cell."),
    ],
)
def test_what_cannot_be_is_refused(
    workdir: Path, registry, capsys: pytest.CaptureFixture[str], command: list[str], words: str
) -> None:
    (workdir / "empty.py").write_text("x = 1\n")
    (workdir / "broken.py").write_text("def\n")
    (workdir / "lab").mkdir()
    (workdir / "lab" / "mine.py").write_text('@register_cell("elsewhere")\n')
    assert run(command) == 2
    assert words in capsys.readouterr().err


@pytest.mark.slow
def test_letters_that_the_output_lacks_are_written_otherwise(python, workdir: Path) -> None:
    words = ("new-cell", "mine", "--folder", "nö")
    done = python("-m", "rnnexp", *words, cwd=workdir, PYTHONIOENCODING="ascii")
    assert done.code == 0, done.err
    assert done.out.startswith("Written: n\\xf6/mine.py\n")
