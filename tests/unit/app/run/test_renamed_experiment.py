"""A run goes on in its experiment, which somebody may have renamed in MLflow's UI meanwhile."""

from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from rnnexp.app.config.compose import check_jobs
from rnnexp.app.jobs.store import home_of
from rnnexp.app.run.resume import origin_of, with_earlier_overrides
from rnnexp.app.run.run import run
from rnnexp.tracking import Journals, load_run, sync
from rnnexp.training.interrupt import StopRequest

WORDS = ["resume=run", "trainer.max_steps=3", "tracking.uri=sqlite:///no.db"]


def test_it_stays_one_run(
    earlier: Path, store_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = store_uri.replace("mlflow.db", "no.db")
    Path("mlflow.db").rename("no.db")
    assert home_of(earlier, "sqlite:///no.db", "rnnexp") == "rnnexp", "it has none yet"
    sync(earlier)
    client, run_id = MlflowClient(uri), str(load_run(earlier).run_id)
    client.rename_experiment(client.get_run(run_id).info.experiment_id, "study")
    plan = check_jobs(with_earlier_overrides(WORDS), multirun=False, config_dir=None)[0].plan
    keeper, origin = Journals("sqlite:///no.db", None), origin_of("run", earlier)
    assert run(plan, earlier, keeper, StopRequest(), tags={}, origin=origin).status == "FINISHED"
    said = "run: its record is in the experiment 'study', and goes on there: not in tracking."
    assert said in capsys.readouterr().err
    sync(earlier)
    assert load_run(earlier).run_id == run_id
    assert client.get_experiment_by_name("rnnexp") is None


def test_of_a_store_that_cannot_be_asked_the_name_is_what_was_asked_for(
    earlier: Path, workdir: Path
) -> None:
    (workdir / "other.db").write_bytes(b"")
    for uri in ("sqlite:///none.db", "sqlite:///other.db", "http://127.0.0.1:1"):
        assert home_of(earlier, uri, "mine") == "mine"
    assert home_of(workdir, "sqlite:///other.db", "mine") == "mine", "of what has no record"
    assert not (workdir / "none.db").exists()
