"""What a plan refuses before anything is built, and what the built thing then is."""

import pytest

from rnnexp.app.config.build import Plan, build_network
from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.errors import RnnexpError


def plan_of(*words: str) -> Plan:
    prepare(words)
    (job,) = check_jobs(["task=temporal_order", "cell=gru", *words], False, None)
    return job.plan


def test_both_directions_together_are_as_wide_as_the_outputs() -> None:
    words = ("model.head=identity", "model.bidirectional=true", "cell.hidden_size=2")
    plan = plan_of(*words)
    network = build_network(plan)
    assert plan.task.output_size == 4
    assert sum(cell.hidden_size for cell in network.layers) == 4


@pytest.mark.parametrize(("units", "both"), [(4, "true"), (2, "false")])
def test_an_identity_that_does_not_fit_is_refused_in_words(units: int, both: str) -> None:
    words = ("model.head=identity", f"model.bidirectional={both}", f"cell.hidden_size={units}")
    found = 8 if both == "true" else 2
    with pytest.raises(RnnexpError, match=f"h has {found} hidden units .* asks for 4 outputs"):
        plan_of(*words)
