"""What no machine has memory for is refused at once, by the name of the option."""

import time

import pytest
import torch

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.config.validate import validate
from rnnexp.errors import UserError, describe
from rnnexp.registry import Registry


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("model.layers=10000000000", "model.layers=10000000000: the cells would take"),
        ("cell.hidden_size=10000000", "cell.hidden_size=10000000: weights and gradients would"),
        ("cell.hidden_size=9000000000000000000", "would take more than torch can count, and this"),
        ("cell=ind_rnn cell.hidden_size=900000000000", "cell.hidden_size=900000000000: weights"),
        ("task.batch_size=1000000000000", "task.batch_size=1000000000000: a batch would take"),
        ("task.length=1000000000000", "task.length=1000000000000: a batch would take"),
    ],
)
def test_what_fits_into_no_memory_is_refused_at_once(
    workdir: object, words: str, said: str
) -> None:
    prepare([])
    begin = time.monotonic()
    with pytest.raises(UserError) as refused:
        check_jobs(words.split(), multirun=False, config_dir=None)
    assert said in str(refused.value)
    assert time.monotonic() - begin < 20


def test_a_large_option_that_costs_nothing_is_taken(workdir: object) -> None:
    prepare([])
    (job,) = check_jobs(["task.test_batches=1000000000"], multirun=False, config_dir=None)
    assert job.plan.trained


def test_another_machine_may_have_room_for_the_batch(workdir: object, plugins: Registry) -> None:
    prepare([])
    (job,) = check_jobs([], multirun=False, config_dir=None)
    values = {**job.plan.values, "task": {**job.plan.values["task"], "length": 10**12}}
    assert validate(values, here=False).task.length == 10**12
    with pytest.raises(UserError, match="a batch would take"):
        validate(values)


def test_the_calls_of_torch_within_an_error_are_left_out() -> None:
    with pytest.raises(TypeError) as raised:
        torch.empty(2**63)
    told = describe(raised.value)
    assert "failed to unpack the object" in told
    assert "\n" not in told
