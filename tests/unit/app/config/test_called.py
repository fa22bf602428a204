"""A config names nothing that Hydra would call, but for a few things that are known."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rnnexp.__main__ import run
from rnnexp.app.config.called import check_called
from rnnexp.app.config.compose import hydra_of, prepare
from rnnexp.errors import ConfigError

TOUCH = "{_target_: subprocess.check_call, args: [touch, called]}"
LOG = "hydra.experimental.callbacks.LogJobReturnCallback"


@pytest.mark.parametrize(
    ("hydra", "key"),
    [
        (f"callbacks: {{x: {TOUCH}}}", "callbacks.x._target_"),
        (f"callbacks: {{x: {{_target_: {LOG}, y: [{TOUCH}]}}}}", "callbacks.x.y.0._target_"),
        ("callbacks: {x: '${callbacks.y}'}", "callbacks.x._target_"),
        ("callbacks: {x: '${hydra.nowhere}'}", "callbacks.x"),
        (f"callbacks: {{x: '${{oc.create:{TOUCH}}}'}}", "callbacks.x"),
        ("launcher: {_target_: subprocess.check_call}", "launcher._target_"),
        (f"sweeper: {{params: {TOUCH}}}", "sweeper.params._target_"),
        ("job_logging: {handlers: {x: {(): subprocess.Popen}}}", "job_logging.handlers.x.()"),
        (
            "job_logging: {formatters: {x: {class: logging.os.system}}}",
            "job_logging.formatters.x.class",
        ),
        (
            "hydra_logging: {handlers: {x: {stream: ext://antigravity}}}",
            "hydra_logging.handlers.x.stream",
        ),
    ],
)
def test_another_is_refused_with_its_key(hydra: str, key: str) -> None:
    sections = ("callbacks", "launcher", "sweeper", "job_logging", "hydra_logging")
    config = OmegaConf.create(f"callbacks: {{y: {TOUCH}}}\nhydra:\n  {hydra}\n")
    config = OmegaConf.merge({"hydra": dict.fromkeys(sections)}, config)
    with pytest.raises(ConfigError) as refused:
        check_called(config["hydra"])
    assert str(refused.value).split()[0].startswith(f"hydra.{key}")


def test_every_job_is_looked_at_before_one_begins(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workdir / "experiment").mkdir()
    text = f"# @package _global_\nhydra: {{callbacks: {{x: {TOUCH}}}}}\n"
    (workdir / "experiment/foreign.yaml").write_text(text)
    words = ["-m", "--config-dir", str(workdir), "experiment=demo,foreign"]
    assert run(["train", *words]) == 2
    said = "rnnexp: hydra.callbacks.x._target_: 'subprocess.check_call' is not allowed"
    assert said in capsys.readouterr().err
    assert run(["train", "--help", "hydra.hydra_logging.handlers.console.class=os.system"]) == 2
    assert not (workdir / "outputs").exists()


@pytest.mark.parametrize(
    "words",
    [
        [f"+hydra.callbacks.x._target_={LOG}", "hydra/launcher=ray", "hydra/sweeper=optuna"],
        ["hydra/launcher=submitit_slurm", "hydra/job_logging=default"],
        ["hydra/launcher=basic", "hydra/job_logging=none", "hydra/hydra_logging=default"],
    ],
)
def test_what_is_known_is_taken(words: list[str]) -> None:
    prepare([])
    hydra_of(words, None)
