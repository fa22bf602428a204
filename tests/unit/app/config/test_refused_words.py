"""What is no callback, or no choice of a group, is refused with the word that was meant."""

from pathlib import Path

import pytest

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.errors import UserError

PLUS = "A callback joins a run with a plus: "


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["callbacks.spectral_radius={}"], f"{PLUS}+callbacks.spectral_radius={{}}"),
        (["callbacks.spectral_radius.every=2"], f"{PLUS}+callbacks.spectral_radius={{}}"),
        (["callbacks={spectral_radius:{}}"], f"{PLUS}+callbacks.spectral_radius={{}}"),
        (["callbacks.spectral={}"], "Unknown callback 'spectral'. Did you mean 'spectral_radius'?"),
        (["callbacks.hello={}"], f"{PLUS}+callbacks.NAME={{}}"),
        (
            ["+callbacks.spectral_radius={}", "callbacks.spectral_radius.evry=2"],
            "Unknown key 'callbacks.spectral_radius.evry'. Did you mean 'every'?",
        ),
        (
            ["+callbacks.spectral_radius={}", "callbacks.spectral_radius.every=2"],
            f"{PLUS}+callbacks.spectral_radius.every=50",
        ),
        (["+callbacks.spectral={}"], "Unknown callback 'spectral'. Did you mean"),
        (["+callbacks.spectral_radius.evry=2"], "Unknown key 'callbacks.spectral_radius.evry'."),
        (["+callbacks.spectral_radius.every=x"], "callbacks.spectral_radius.every: expected int"),
    ],
)
def test_what_is_no_callback_is_refused_and_the_plus_named(
    workdir: object, words: list[str], said: str
) -> None:
    prepare(words)
    with pytest.raises(UserError) as refused:
        check_jobs(words, multirun=False, config_dir=None)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimizer._target_=torch.optim.Muon"], "torch's Muon refuses optimizer.lr=0.002. Muon"),
        (["optimizer._target_=torch.optim.SparseAdam"], "torch's SparseAdam refuses optimizer.lr"),
        (["optimizer._target_=torch.optim.LBFGS"], "optimizer: LBFGS computes the loss several"),
        (["+optimizer.capturable=true"], "optimizer.capturable=True. If capturable=True, params"),
        (["+optimizer.differentiable=true"], "optimizer.differentiable=True. a leaf Variable"),
        (["scheduler._target_=torch.optim.lr_scheduler.ReduceLROnPlateau"], "waits for a figure"),
    ],
)
def test_an_optimizer_that_cannot_make_a_step_is_refused(
    workdir: object, words: list[str], said: str
) -> None:
    prepare(words)
    without = ["~optimizer.betas", "~optimizer.weight_decay"] if "_target_" in words[0] else []
    with pytest.raises(UserError) as refused:
        check_jobs([*words, *without], multirun=False, config_dir=None)
    assert said in str(refused.value)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "RMSprop", "Adafactor", "NAdam"])
def test_an_optimizer_that_can_is_taken(workdir: object, name: str) -> None:
    words = [f"optimizer._target_=torch.optim.{name}", "~optimizer.betas"]
    prepare(words)
    assert check_jobs(words, multirun=False, config_dir=None)[0].plan.trained


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("callbacks=spectral_radius", "with its options: +callbacks.spectral_radius={}."),
        ("callbacks=null", "with its options: +callbacks.NAME={}."),
        ("+callbacks.spectral_radius=1", "expected its options, got 1. Give +callbacks.spectral_"),
        ("clip=2.0", "clip=2.0: clip= takes one of its names, none, norm, value. Values go to its"),
        ("trainer=null", "trainer=null: trainer= takes one of its names, debug, default, gpu."),
        ("clip=[1,2]", "clip=[1,2]: clip= takes one of its names, none, norm, value."),
        ("+clip=[[]]", "+clip=[[]]: clip= takes one of its names, none, norm, value."),
        ("~seed", "seed: every run needs it. Leave ~seed out of the command."),
        ("~sweep", "sweep: every run needs it. Leave ~sweep out of the command."),
        ("~callbacks", "callbacks: every run needs it. Leave ~callbacks out of the command."),
        ("hydra/launcher=3", "Values go to its keys, as in hydra.launcher.KEY=VALUE."),
    ],
)
def test_what_is_no_name_is_refused(workdir: object, word: str, said: str) -> None:
    prepare([word])
    with pytest.raises(UserError) as refused:
        check_jobs(["model.layers=2", word], multirun=False, config_dir=None)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("lr=0.1", "Unknown key 'lr'. Did you mean 'optimizer.lr'?"),
        ("+lr=0.1", "Unknown key 'lr'. Did you mean 'optimizer.lr'?"),
        ("batch_size=32", "Unknown key 'batch_size'. Did you mean 'task.batch_size'?"),
        ("hidden_sise=3", "Unknown key 'hidden_sise'. Did you mean 'cell.hidden_size'?"),
        ("model.hidden_size=3", "Unknown key 'model.hidden_size'. Did you mean 'cell.hidden_size'"),
        ("optimizer.weight=1", "Unknown key 'optimizer.weight'. Did you mean 'weight_decay'?"),
        ("optimizer.lr=", "optimizer.lr: must be a finite number above 0, got ''."),
        ("scheduler.foo=3", "no keys. Choose one that has: scheduler=cosine, scheduler=step, sch"),
        ("experiment=nosuch", "Did you mean 'search'? Known: adding_100, char_lm,"),
        ("name=x", "Unknown key 'name'. Known: callbacks, cell,"),
        ("Seed=3", "Unknown key 'Seed'. Did you mean 'seed'?"),
        (f"tracking.experiment={'x' * 501}", "has 501 characters, and MLflow takes no experiment"),
        ("cell=LSTM", "Unknown cell 'LSTM'. Did you mean 'lstm'?"),
        ("cell=a/b", "Unknown cell 'a/b'. Known: antisymmetric,"),
        ("task=a/b", "Unknown task 'a/b'. Known: adding,"),
        ("task=/home/me/x.txt", "'/home/me/x.txt'. Characters of a text of your own are predicted"),
        ("task=x.npz", "Classes of sequences of your own are predicted by task=labelled"),
        ("task=data/wind.csv", "Measurements of your own are predicted by task=series task.path="),
        ("task=x.txt", "are predicted by task=char_lm task.path=x.txt"),
    ],
)
def test_what_was_meant_is_guessed(workdir: object, word: str, said: str) -> None:
    prepare([word])
    with pytest.raises(UserError) as refused:
        check_jobs([word], multirun=False, config_dir=None)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("monitor.rollback_factor=0", "must be a finite number above 0, got 0.0."),
        ("threads=100000000", "threads: must be at most 4096, got 100000000."),
        ("trainer.accumulate=99999999999999999999", "trainer.accumulate: must be below 2^63"),
        ("task.batch_size=99999999999999999999", "task.batch_size: must be below 2^63"),
        ("cell.forget_bias=nan", "cell.forget_bias: expected a number, got nan."),
        ("optimizer.lr=true", "optimizer.lr: must be a finite number above 0, got True."),
        ("optimizer.eps=true", "optimizer.eps: expected a number, got True."),
    ],
)
def test_a_number_that_nothing_can_run_with_is_refused(
    workdir: object, word: str, said: str
) -> None:
    extra = ["+" + word] if word.startswith("optimizer.eps") else [word]
    extra += ["monitor.nonfinite=rollback"] if "rollback" in word else []
    prepare(extra)
    with pytest.raises(UserError) as refused:
        check_jobs(extra, multirun=False, config_dir=None)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("word", "got"),
    [
        ("unroll.check_finite=7", "7"),
        ("sweep.fail_fast=-1", "-1"),
        ("model.bidirectional=0,1,2", "2"),
        ("trainer.deterministic='3'", "3"),
        ("hydra.job.chdir=5", "5"),
    ],
)
def test_a_number_is_no_switch(workdir: object, word: str, got: str) -> None:
    prepare([])
    with pytest.raises(UserError) as refused:
        check_jobs([word], multirun=True, config_dir=None)
    assert str(refused.value) == f"{word.partition('=')[0]}: expected true or false, got {got}."


@pytest.mark.parametrize("sign", ["", "+"])
def test_nor_is_one_among_several_keys(workdir: object, sign: str) -> None:
    prepare([])
    with pytest.raises(UserError, match=r"trainer\.deterministic: expected true or false, got 5"):
        check_jobs([sign + "trainer={deterministic: 5}"], multirun=False, config_dir=None)


def test_nor_is_one_that_a_config_has_a_sweep_vary(workdir: Path) -> None:
    file = workdir / "conf" / "experiment" / "mine.yaml"
    file.parent.mkdir(parents=True)
    varied = "hydra: {sweeper: {params: {trainer.deterministic: '0,3'}}}"
    file.write_text(f"# @package _global_\n{varied}\n")
    prepare([])
    with pytest.raises(UserError, match=r"trainer\.deterministic: expected true or false, got 3"):
        check_jobs(["experiment=mine"], multirun=True, config_dir=str(workdir / "conf"))


IN_FILES = {
    "trainer/mine": ("deterministic: 3", "trainer.deterministic", "3"),
    "trainer/text": ("deterministic: '3'", "trainer.deterministic", "3"),
    "experiment/mine": ("# @package _global_\nsweep: {fail_fast: -1}", "sweep.fail_fast", "-1"),
    "cell/kept_in_a_file": ("defaults: [leaky]\ntrainable: 7", "cell.trainable", "7"),
}


@pytest.mark.parametrize("place", IN_FILES)
def test_nor_is_one_in_a_file(workdir: Path, place: str) -> None:
    text, key, got = IN_FILES[place]
    file = workdir / "conf" / f"{place}.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    word = place.replace("/", "=")
    said = f"{key}: expected true or false, got {got}, in the config {place}."
    prepare([])
    with pytest.raises(UserError) as refused:
        check_jobs([word], multirun=False, config_dir=str(workdir / "conf"))
    assert str(refused.value) == said
    file.write_text(text.replace(got, "1").replace("'", ""))
    check_jobs([word], multirun=False, config_dir=str(workdir / "conf"))


def test_choices_of_a_group_are_none(workdir: Path) -> None:
    prepare([])
    jobs = check_jobs(["clip=glob(n*)"], multirun=True, config_dir=None)
    assert [job.overrides for job in jobs] == [["clip=none"], ["clip=norm"]]


@pytest.mark.parametrize("word", ["check_finite=1", "check_finite=0,true", "check_finite=yes"])
def test_what_is_true_or_false_is_a_switch(workdir: object, word: str) -> None:
    prepare([])
    jobs = check_jobs([f"unroll.{word}"], multirun=True, config_dir=None)
    assert jobs[-1].plan.values["unroll"]["check_finite"] is True


def test_a_group_of_a_folders_own_is_refused(workdir: Path) -> None:
    file = workdir / "conf" / "mine" / "foo.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("a: 3\n")
    words = r"Unknown key 'mine', in the config mine/foo.* choices to cell, .* @package _global_"
    prepare([])
    with pytest.raises(UserError, match=words):
        check_jobs(["+mine=foo"], multirun=False, config_dir=str(workdir / "conf"))
