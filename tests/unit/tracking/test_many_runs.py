"""A sink delivers more runs than a process may have open files."""

from pathlib import Path

from mlflow.tracking import MlflowClient

from rnnexp.tracking import load_run

from .study import runs_in

RUNS, FILES = 150, 100
OWNER = f"""
import resource, sys
from pathlib import Path
from rnnexp.tracking import RunHeader, Tracking

resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))  # the sink's, too
tracking = Tracking(sys.argv[1], None)
for number in range({RUNS}):
    log = tracking.open_run(Path(f"run{{number}}"), RunHeader(str(number), "study", {{}}, {{}}))
    log.metrics({{"loss": 1.0}}, 0)
    log.end("FINISHED")
    if number == 0:
        assert log.run_id(60)
print(tracking.close(120))
"""


def test_all_are_delivered_though_not_all_can_be_open(
    copied, tmp_path: Path, store_uri: str
) -> None:
    said = copied("-c", OWNER, store_uri, cwd=tmp_path)
    assert said.out.strip() == "[]", said.err
    runs = runs_in(MlflowClient(store_uri))
    assert sorted(int(run.info.run_name) for run in runs) == list(range(RUNS))
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.metrics["loss"] for run in runs} == {1.0}
    assert load_run(tmp_path / "run0").status == "FINISHED"
