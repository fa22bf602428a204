"""``resume=`` with other words than the run began with: what may change, and what may not."""

import math
from pathlib import Path

import pytest
import yaml

from rnnexp.app.config.compose import check_jobs
from rnnexp.app.run.going_on import check_resumes
from rnnexp.app.run.resume import locate, run_folder, with_earlier_overrides
from rnnexp.app.run.run import run
from rnnexp.errors import ConfigError
from rnnexp.tracking import Journals, load_run
from rnnexp.training.interrupt import StopRequest

from .earlier_run import WORDS, finished_run


def check_goes_on(earlier: Path, then: list[str], now: list[str]) -> list[str]:
    (earlier / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump([*WORDS, *then]))
    words = with_earlier_overrides(["resume=run", *now])
    kept = [word for word in words if word not in now]
    jobs = check_jobs(words, multirun=False, config_dir=None, earlier=kept)
    check_resumes([job.plan for job in jobs], multirun=False)
    return words


IDLE_NOW = {
    "clip=norm clip.max_norm=0.5": "clip=value clip.max_value=0.1",
    "omega=paper omega.weight=3": "omega=none",
    "monitor=rollback monitor.max_rollbacks=9": "monitor=skip",
}


@pytest.mark.parametrize("then", IDLE_NOW)
def test_what_was_set_for_another_choice_may_have_lost_its_effect(earlier: Path, then: str) -> None:
    check_goes_on(earlier, then.split(), IDLE_NOW[then].split())
    with pytest.raises(ConfigError, match=r"clip.max_value=0.1 has no effect under clip="):
        check_goes_on(earlier, then.split(), ["clip=none", "clip.max_value=0.1"])


def test_keys_of_another_schedule_are_left_behind(earlier: Path) -> None:
    choices = {"hydra": {"runtime": {"choices": {"scheduler": "step", "cell": "elman"}}}}
    (earlier / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump(choices))
    then = ["scheduler=step", "scheduler.step_size=3"]
    words = check_goes_on(earlier, then, ["scheduler=cosine", "cell=elman"])
    assert "scheduler.step_size=3" not in words
    assert "cell.hidden_size=4" in words
    assert "scheduler.step_size=3" in check_goes_on(earlier, then, ["scheduler=step"])


@pytest.mark.parametrize("place", ["run", "run/checkpoints", "run/checkpoints/last.ckpt"])
def test_a_run_is_found_by_what_lies_in_it(earlier: Path, place: str) -> None:
    assert run_folder(place).samefile(earlier)
    assert (locate(place).folder is None) == place.endswith(".ckpt"), "a file starts a new run"


def recorded_with(earlier: Path, schedule: dict[str, object]) -> None:
    file = earlier / "config.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"scheduler": schedule}))


COSINE = {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "T_max": 2, "eta_min": 0.0}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("scheduler=step", "scheduler._target_ was .*CosineAnnealingLR .* Leave scheduler= out"),
        ("scheduler=cosine scheduler.T_max=2 scheduler.eta_min=1e-4", "Give scheduler.eta_min=0"),
    ],
)
@pytest.mark.parametrize("resume", ["run", "run/checkpoints/last.ckpt"])
def test_a_schedule_goes_on_as_it_was(earlier: Path, resume: str, word: str, said: str) -> None:
    recorded_with(earlier, COSINE)
    words = [*WORDS, f"resume={resume}", "trainer.max_steps=9", *word.split()]
    plan = check_jobs(words, multirun=False, config_dir=None)[0].plan
    with pytest.raises(ConfigError, match=said):
        check_resumes([plan], multirun=False)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        (COSINE, "scheduler=cosine scheduler.T_max=2"),
        (COSINE, "scheduler=cosine"),
        (COSINE, "scheduler=none"),
        ({"_target_": None}, "scheduler=cosine"),
    ],
    ids=["the same", "longer", "no more", "one where none was"],
)
def test_a_schedule_may_come_and_go(earlier: Path, then: dict[str, object], now: str) -> None:
    recorded_with(earlier, then)
    words = [*WORDS, "resume=run", "trainer.max_steps=9", *now.split()]
    check_resumes([check_jobs(words, multirun=False, config_dir=None)[0].plan], multirun=False)


def test_more_steps_lengthen_the_schedule_that_follows_them(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finished_run(workdir / "run", [*WORDS, "scheduler=cosine"])
    words = with_earlier_overrides(["resume=run", "trainer.max_steps=6"])
    plan = check_jobs(words, multirun=False, config_dir=None)[0].plan
    check_resumes([plan], multirun=False)
    journals, origin = Journals("sqlite:///no.db", None), locate("run")
    assert run(plan, folder, journals, StopRequest(), tags={}, origin=origin).well
    assert "scheduler.T_max is 6, and was 2 when the checkpoint" in capsys.readouterr().err
    rates = dict(load_run(folder).metrics["train/lr"])
    assert [rates[step] for step in (3, 4, 5, 6)] == pytest.approx(
        [1e-3 * (1 + math.cos(math.pi * done / 6)) for done in (2, 3, 4, 5)]
    )
