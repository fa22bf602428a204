"""What cannot work is refused in words, before anything is trained or stored."""

from collections import namedtuple
from pathlib import Path

import pytest

from rnnexp.__main__ import run

Usage = namedtuple("Usage", "total used free")

REFUSED = {
    "cell=gruu": "Unknown cell 'gruu'. Did you mean 'gru'?",
    "task=addin": "Unknown task 'addin'. Did you mean 'adding'?",
    "clip={max:1}": "Unknown key 'clip.max'. Did you mean 'max_norm'?",
    "clip=nrm": "Unknown clip='nrm'. Did you mean 'norm'?",
    "experiment=dem": "Did you mean 'demo'?",
    "foo=1": "Unknown key 'foo'.",
    "+trainer.steps=1": "Unknown key 'trainer.steps'. Did you mean 'max_steps'?",
    "cell.hidden_sise=3": "Unknown key 'cell.hidden_sise'. Did you mean 'hidden_size'?",
    "task.lenght=3": "Unknown key 'task.lenght'. Did you mean 'length'?",
    "optimizer.lrr=1": "Unknown key 'optimizer.lrr'. Did you mean 'lr'?",
    "trainer.max_steps=abc": "trainer.max_steps: expected integer, got 'abc'.",
    "seed=1.5": "seed: expected integer, got '1.5'.",
    "cell=elman cell.nonlinearity=sin": "cell.nonlinearity: 'sin' is not a choice.",
    "clip.max_norm=-1": "clip.max_norm: must be a finite number above 0, got -1.0.",
    "clip=value clip.max_value=0": "clip.max_value: must be a finite number above 0, got 0.0.",
    "clip=none clip.max_norm=1": "clip.max_norm=1.0 has no effect under clip=none. Use clip=norm",
    "-m clip=none,value clip.max_norm=1": "clip.max_norm=1.0 has no effect under clip=none.",
    "unroll.teacher_share=0.2": "has no effect under unroll.feed=teacher. Use unroll=scheduled.",
    "omega.weight=3": "omega.weight=3.0 has no effect under omega=none. Use omega=paper.",
    "model.dropout=0.5": "has no effect under model.layers=1. Use model.layers=2 or more.",
    "model.ridge_batches=9": "has no effect under model.readout_fit=none.",
    "monitor.max_rollbacks=9": "has no effect under monitor.nonfinite=raise.",
    "cell=elman cell.forget_bias=2": "Unknown key 'cell.forget_bias'. Known: hidden_size, name,",
    "optimizer.lr=nan": "optimizer.lr: must be a finite number above 0, got nan.",
    "optimizer.lr=-1": "optimizer.lr: must be a finite number above 0, got -1",
    "optimizer._target_=os.system": "optimizer._target_: 'os.system' is not allowed.",
    "optimizer.weight_decay=-1": "Adam refuses optimizer.lr=0.002, optimizer.betas=[0.9, 0.999]",
    "optimizer.betas=[1,2]": "Invalid beta parameter at index 0: 1",
    "optimizer.betas=[0.9,nan]": "optimizer.betas: expected finite numbers, got [0.9, nan].",
    "optimizer=sgd optimizer.momentum=inf": "optimizer.momentum: expected finite numbers, got inf",
    "optimizer._target_=null": "optimizer._target_: one is needed",
    "scheduler=step scheduler.step_size=abc": "scheduler.step_size: expected int, got 'abc'",
    "seed=-1": "seed: must lie in [0, 4294967295], got -1.",
    "seed=4294967296": "seed: must lie in [0, 4294967295], got 4294967296.",
    "-m seed=0,-1": "seed: must lie in [0, 4294967295], got -1.",
    "monitor.cliff_ratio=0.5": "monitor.cliff_ratio: must be above 1, got 0.5.",
    "model.ridge_strength=nan": "model.ridge_strength: expected a number, got nan",
    "unroll.window=100": "unroll.window=100 is longer than the task's 50 steps.",
    "unroll.checkpoint_every=0": "unroll.checkpoint_every: must be a finite number above 0, got 0.",
    "unroll.check_finite=maybe": "unroll.check_finite",
    "model.bidirectional=true unroll.window=5": "cannot go with unroll.window=5, which hides",
    "model.bidirectional=true cell=jordan task=char_lm": "cannot go with model.feedback=output",
    "model.bidirectional=true task=char_lm": "cannot go with task=char_lm, whose sequences",
    "unroll.backend=lop": "unroll.backend=lop is unknown. Did you mean 'loop'?",
    "unroll.backend=vendor cell=leaky": "cannot run Leaky: torch.nn has no such recurrence.",
    "monitor.dynamics_every=5 unroll.backend=vendor": "needs a backend that can be watched",
    "model.feedback=output": "which those of task=adding cannot be. Tasks that can: char_lm",
    "cell=jordan": "cell=jordan recurs through the output only",
    "model.readout=every_step": "model.readout=every_step does not suit task=adding",
    "model.layers=0": "model.layers: must be a finite number above 0, got 0.",
    "model.dropout=1.5": "model.dropout: must lie in [0, 1], got 1.5.",
    "task.length=1": "task.length: must be at least 2, got 1.",
    "task=char_lm task.path=nowhere.txt": "task.path=nowhere.txt: cannot be read",
    "task=char_lm task.inputs=none model.feedback=none": "shows no inputs of its own",
    "tracking.uri=ftp://x": "tracking.uri=ftp://x: not a store MLflow can write to.",
    "tracking.uri=sqlite:///none/x.db": "the folder none does not exist.",
    "omega=papr": "Unknown omega='papr'. Did you mean 'paper'?",
    "omega=paper omega.weight=-1": "omega.weight: must be a finite number 0 or more, got -1.0.",
    "omega=paper cell=jordan task=char_lm": "cannot go with cell=jordan, whose recurrent matrix",
    "omega=paper cell=echo_state": "cannot go with cell=echo_state, whose recurrent matrix is none",
    "unroll.backend=native trainer.precision=bf16-mixed": "autocast is on, and native loops compute"
    " in the type of the weights. That comes of trainer.precision=bf16-mixed; use unroll.backend=",
    "unroll.backend=native trainer.precision=bf16-true": "its weights are of type torch.bfloat16; ",
    "unroll.backend=scan": "unroll.backend=scan cannot run LSTM: it is no LinearCell",
    "model.readout_fit=ridge model.ridge_batches=0": "at least 0, and 1, got 1e-06 and 0",
    "model.readout_fit=ridge model.head=identity": "fits a matrix, which model.head=identity",
    "omega=paper unroll.checkpoint_every=5": "cannot go with unroll.checkpoint_every=5",
    "omega=code unroll.backend=native": "it shows norms; what was asked for is gradients. Use",
    "cell=phased_lstm trainer.precision=bf16-true": "counts steps, and bfloat16 counts to 256 at",
    "cell=lru trainer.precision=bf16-true": "'lru' has a complex state, and torch",
    "cell=clockwork cell.groups=64": "the longest period, base^(groups-1), at most 16777216",
    "omega=code trainer.precision=16-mixed": "16-mixed, which scales gradients",
    "unroll=free task=adding": "no output of this network is fed back. Tasks that can: char_lm,",
    "unroll=scheduled task=copy_memory": "Use model.feedback=output, or unroll.feed=teacher.",
    "omega=code task=char_lm model.feedback=output unroll=free": "unroll.feed=free under feedback",
    "trainer.precision=12": "trainer.precision: '12' is not a choice.",
    "trainer.strategy=dpp": "trainer.strategy=dpp is unknown. Did you mean 'ddp'?",
    "trainer.strategy=fsdp": "trainer.strategy=fsdp does not train on trainer.devices=1 here. Use",
    "tracking.experiment=": "tracking.experiment: is empty, and MLflow takes no experiment",
    "-m seed=0,1 sweep.name=a/b": "sweep.name=a/b: it names a folder in outputs/sweeps; no /",
    "sweep.name=..": "sweep.name=..: it names a folder",
    "resume=abc": "No run 'abc': no such file or folder of one, and none of this id below",
    "plugin_dirs=[nowhere]": "The plugin folder 'nowhere' does not exist.",
    "-m cell=lstm,elmann": "Unknown cell 'elmann'. Did you mean 'elman'?",
    "-m cell=elman optimizer.lr=0.1,-1": "optimizer.lr: must be a finite number above 0, got -1",
    "+foo=1": "Unknown key 'foo'. Known: callbacks, cell, clip,",
    "+sed=1": "Unknown key 'sed'. Did you mean 'seed'?",
    "sweep.timeout=-1": "sweep.timeout: must be a finite number above 0, got -1.0.",
    "-m experiment=search hydra.sweeper.objectives=[val/los]": "Did you mean 'val/loss'?",
    "-m experiment=search hydra.sweeper.objectives=[loss]": "no run will have a figure 'loss'.",
    "--config-name nonexist": "--config-name is not taken here. There is one config; choose a",
    "--config-path x": "--config-dir DIR adds a folder",
    "--config-name nonexist --cfg job": "--config-name is not taken here.",
    "--experimental-rerun nope": "--experimental-rerun is not taken here. Use rnnexp rerun RUN.",
    "--package model": "--package shapes what --cfg job shows. Give --cfg job too.",
    "seed=1 -m --cfg job": "--multirun and --cfg cannot go together.",
    "--resolve": "--resolve shapes what --cfg job shows.",
    "seed=1 -m cell=elmann": "Unknown cell 'elmann'. Did you mean 'elman'?",
    "cell=elman,lstm -m seed=-1,0": "seed: must lie in [0, 4294967295], got -1.",
    "cell=": "cell= names nothing. Known: antisymmetric,",
    "clip=": "clip= names nothing. Known: none, norm, value.",
    "cell=elman,lstm": "as in rnnexp train -m 'cell=elman,lstm'; one value that is a list",
    "seed=range(3)": "seed=range(3): several values are a sweep. Begin with -m",
    "task.test_lengths=100": "task.test_lengths: expected a list, such as task.test_lengths=[100].",
    "hydra.launcher.job=3": "Unknown key 'hydra.launcher.job'. Did you mean 'jobs'?",
    "-m seed=0 hydra/launcher=locl": "Unknown hydra/launcher='locl'. Did you mean 'local'?",
    "-m seed=0 hydra/launcher=ray,local": "Give hydra/launcher one value",
    "-m seed=0 hydra/launcher=ray hydra/launcher=local": "hydra/launcher=local: a command has one",
    "-m seed=0 hydra.launcher.threads=0": "hydra.launcher.threads: must be a finite number above 0",
    "-m seed=0 hydra.launcher.jobs=-1": "hydra.launcher.jobs: must be a finite number above 0",
    "-m seed=0 hydra.launcher.start=frok": "hydra.launcher.start=frok is unknown.",
    "-m seed=0 hydra.launcher.stagger=nan": "hydra.launcher.stagger: must be a finite number 0 or",
    "-m seed=0 hydra/launcher=submitit_slurm hydra.launcher.timeout_min=1": "Give less than 60 sec",
    "-m seed=0 sweep.timeout=0": "sweep.timeout: must be a finite number above 0, got 0.0.",
    "-m seed=0 sweep.timeout=9 hydra/launcher=basic": "Use hydra/launcher=local.",
    "-m seed=0 sweep.timeout=9 hydra/launcher=submitit_local": "Use hydra.launcher.timeout_min",
    "-m seed=0 hydra.job.chdir=true": "the jobs of a sweep name their folders from",
    "-m seed=0 hydra.sweep.dir=out": "hydra.sweep.dir=out: the jobs of a sweep are looked for in",
    "hydra.mode=MULTIRUN seed=0 hydra.sweep={dir:out}": "choose the name by sweep.name=NAME.",
    "-m seed=0 sweep.name=../x": "sweep.name=../x: it names a folder in outputs/sweeps",
    "tracking.uri=null": "tracking.uri: takes no null. Give a value, such as tracking.uri=sqlite://",
    "-m tracking.uri=null seed=0,1": "tracking.uri: takes no null. Give a value, such as tracking.",
    "tracking={uri:null}": "tracking.uri: takes no null. Give a value, such as tracking.uri=sqlite",
    "clip.by=null": "clip.by: takes no null. Give a value, such as clip.by=norm.",
    "task.test_lengths=null": "takes no null. Give a value, such as task.test_lengths=[].",
    "+callbacks.spectral_radius.every=null": "callbacks.spectral_radius.every: takes no null. Give",
    "cell=lstm =3": "Cannot read '=3': give KEY=VALUE, such as cell=lstm.",
    "cell lstm": "Cannot read 'cell': give KEY=VALUE, such as cell=lstm.",
    "task=char_lm task.path=~/own.txt": "takes quotes of its own. Give 'task.path=\"~/own.txt\"'",
    "task=char_lm task.path=größe.txt": "takes quotes of its own. Give 'task.path=\"größe.txt\"'",
    "task=adding model.head=identity": "64 hidden units and the task asks for 1 outputs",
    "-m seed=range(0)": "The sweep is empty",
    "cell=[lstm": "Cannot read cell=[lstm: ",
}


@pytest.mark.parametrize("words", REFUSED)
def test_refused_before_anything_is_made(
    words: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", *words.split()]) == 2
    said = capsys.readouterr()
    assert REFUSED[words] in said.err
    assert "Traceback" not in said.err
    assert list(workdir.iterdir()) == []


def test_a_missing_accelerator_is_refused(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "trainer.accelerator=tpu"]) == 2
    assert "torch finds no such device" in capsys.readouterr().err


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trian"]) == 2
    assert "Unknown command 'trian'. Did you mean 'train'?" in capsys.readouterr().err


def test_a_broken_plugin_is_reported_and_its_cell_refused(
    workdir: Path, registry: object, capsys: pytest.CaptureFixture[str]
) -> None:
    (workdir / "mine").mkdir()
    (workdir / "mine" / "broken.py").write_text("import torch\nraise RuntimeError('no luck')\n")
    assert run(["train", "plugin_dirs=[mine]", "cell=broken"]) == 2
    said = capsys.readouterr().err
    assert "broken.py:2: RuntimeError: no luck" in said
    assert "The cell 'broken' cannot be used: its file fails to load." in said


def test_a_taken_name_is_refused_where_it_is_asked_for(
    workdir: Path, registry: object, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    text = (
        "from rnnexp.cells import register_cell\n\n@register_cell('lstm')\nclass Mine:\n    pass\n"
    )
    (workdir / "mine.py").write_text(text)
    monkeypatch.setenv("RNNEXP_PLUGINS", ".")
    for words in ("train cell=lstm", "check lstm", "cells lstm"):
        assert run(words.split()) == 2
        said = capsys.readouterr().err
        assert "The cell 'lstm' is registered twice" in said
        assert f"Mine in {workdir / 'mine.py'}" in said
    assert {file.name for file in workdir.iterdir()} <= {"mine.py", "__pycache__"}
    assert run(["train", "cell=elman", "--cfg", "job"]) == 0


def test_a_name_of_two_files_is_told_once(
    workdir: Path, registry: object, capsys: pytest.CaptureFixture[str]
) -> None:
    (workdir / "lab").mkdir()
    for file in ("a.py", "b.py", "other.py"):
        name = "other" if file == "other.py" else "twin"
        (workdir / "lab" / file).write_text(CELL.format(name=name))
    (workdir / "lab" / "torn.py").write_text("x =\n")
    assert run(["train", "plugin_dirs=[lab]", "cell=twin"]) == 2
    said = capsys.readouterr().err
    assert said.count("The cell 'twin' is registered twice") == 1
    assert said.count("plugin not loaded") == 1
    assert "torn.py:1: SyntaxError" in said
    assert run(["train", "plugin_dirs=[lab]", "cell=other", "trainer.max_steps=0"]) == 2
    assert capsys.readouterr().err.count("The cell 'twin' is registered twice") == 1


ODD = {
    "none": ("size: str = None", "The option 'size' of the cell 'none' is None by default: write"),
    "dtype": ("size: torch.dtype = torch.float16", "of type torch.dtype, which a config cannot"),
    "called": ("name: str = 'x'", "has a name that the config keeps for itself"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_option_stops_its_own_cell_alone(
    workdir: Path, registry: object, monkeypatch: pytest.MonkeyPatch, capsys, name: str
) -> None:
    option, words = ODD[name]
    text = f"import torch\n{CELL.format(name=name)}\n    def __init__(self, *args, {option}): ...\n"
    (workdir / "odd.py").write_text(text)
    monkeypatch.setenv("RNNEXP_PLUGINS", ".")
    assert run(["train", "cell=elman", "--cfg", "job"]) == 0
    line = text.splitlines().index(f"    def __init__(self, *args, {option}): ...") + 1
    assert f"odd.py:{line}: " in capsys.readouterr().err
    for command in (["train", f"cell={name}"], ["check", name], ["check", "odd.py"]):
        assert run(command) == 2
        assert capsys.readouterr().err.count(words) == 1
    assert run(["cells", name]) == 2
    assert words in capsys.readouterr().err


def test_what_no_check_foresees_stops_its_own_cell_alone(
    workdir: Path, registry: object, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    (workdir / "lab").mkdir()
    text = CELL.format(name="odd") + "\n    def __init__(self, *args, a: str = None): ...\n"
    (workdir / "lab" / "file.py").write_text(text)
    monkeypatch.setattr("rnnexp.discovery.check_entry", lambda entry: None)
    assert run(["train", "plugin_dirs=[lab]", "cell=elman", "--cfg", "job"]) == 0
    assert "file.py: The cell 'odd' makes no config. ValidationError" in capsys.readouterr().err
    assert run(["train", "plugin_dirs=[lab]", "cell=odd"]) == 2
    assert "The cell 'odd' cannot be used: its file fails to load." in capsys.readouterr().err


CELL = """
from rnnexp.cells import PointwiseCell, register_cell

@register_cell("{name}")
class Mine(PointwiseCell):
    num_gates = 1

    def update(self, wx_BGH, rh_BGH, state):
        return ((wx_BGH + rh_BGH).squeeze(-2),)
"""


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_plugin_folders_are_read_from_the_command_line(
    workdir: Path, registry: object, capsys: pytest.CaptureFixture[str], sign: str
) -> None:
    name = f"mine{len(sign)}"
    (workdir / "lab").mkdir()
    (workdir / "lab" / f"{name}.py").write_text(CELL.format(name=name))
    assert run(["train", f"{sign}plugin_dirs=[lab]", f"cell={name}", "trainer.max_steps=0"]) == 2
    assert "trainer.max_steps: must be a finite number above 0" in capsys.readouterr().err


def test_a_plugin_folder_that_a_preset_names_is_refused(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workdir / "conf" / "experiment").mkdir(parents=True)
    preset = "# @package _global_\nplugin_dirs: [lab]\n"
    (workdir / "conf" / "experiment" / "ours.yaml").write_text(preset)
    assert run(["train", "--config-dir", "conf", "experiment=ours"]) == 2
    said = capsys.readouterr().err
    assert "Give plugin_dirs=[lab] on the command line, or name it in $RNNEXP_PLUGINS." in said


def test_runs_that_would_fill_the_disk_are_refused(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(10**9, 10**9 - 10**5, 10**5))
    assert run(["train", "-m", "seed=0,1"]) == 2
    assert "2 runs may write" in capsys.readouterr().err
    assert not (workdir / "mlflow.db").exists()
