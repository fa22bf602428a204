"""Values that torch's classes would take, and that nothing can be trained with, are refused."""

from typing import Any

import pytest

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.config.targets import maker
from rnnexp.errors import ConfigError, UserError

FUSED = ["+optimizer.fused=true", "trainer.precision=bf16-mixed"]


@pytest.mark.parametrize(
    ("name", "option", "value", "said"),
    [
        ("RMSprop", "alpha", 2, r"optimizer.alpha: expected a number in \[0, 1\), got 2"),
        ("RMSprop", "momentum", 1.5, r"optimizer.momentum: expected a number in \[0, 1\]"),
        ("SGD", "dampening", 2.0, r"optimizer.dampening: expected a number in \[0, 1\], got 2"),
        ("Adam", "foreach", "abc", "optimizer.foreach: expected bool | null, got 'abc'"),
        ("Adam", "betas", [0.9], r"optimizer.betas: expected \[float, float\], got \[0.9\]"),
        ("ASGD", "lambd", -1e-4, "optimizer.lambd: expected a number of 0 or more, got -0.0001"),
        ("SGD", "maximize", True, "optimizer.maximize: expected false, for the loss is to become"),
        ("Muon", "ns_steps", -1, "optimizer.ns_steps: expected a count of 1 or more, got -1"),
    ],
)
def test_a_wrong_value_is_refused(name: str, option: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        maker({"_target_": f"torch.optim.{name}", option: value}, "optimizer")


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("ASGD", "alpha", 2.0),  # a power there
        ("SGD", "momentum", 1),
        ("Adam", "foreach", None),
        ("Adam", "maximize", False),
        ("Adam", "betas", [0, 0.5]),
        ("lr_scheduler.OneCycleLR", "total_steps", None),
        ("lr_scheduler.StepLR", "last_epoch", -1),
        ("lr_scheduler.MultiStepLR", "milestones", [3, 5]),
    ],
)
def test_a_right_value_is_taken(name: str, option: str, value: Any) -> None:
    make = maker({"_target_": f"torch.optim.{name}", option: value}, "optimizer")
    assert make.keywords == {option: value}


def test_a_fused_step_is_not_clipped_before_where_precision_is_mixed(workdir: object) -> None:
    prepare([])
    with pytest.raises(UserError, match=r"optimizer.fused=true divides .*precision=bf16-mixed"):
        check_jobs(FUSED, multirun=False, config_dir=None)
    assert check_jobs([*FUSED, "clip=none"], multirun=False, config_dir=None)
