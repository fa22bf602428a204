"""The sink process: an owner that is killed, a store that is away."""

import errno
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from rnnexp.tracking import RunHeader, Tracking, delivered, load_run
from rnnexp.tracking.courier import LOG_FILE, last_problem
from rnnexp.tracking.records import ERROR_TAG
from rnnexp.tracking.service import RunLog

from ...waiting import comes_true, is_alive
from .study import EXPERIMENT, runs_in, steps_in

HEADER = RunHeader("a-run", EXPERIMENT, {"lr": "0.1"}, {})


def _runs(uri: str) -> list:
    return runs_in(MlflowClient(uri))


def _steps(uri: str, run) -> list[int]:
    return steps_in(MlflowClient(uri), run.info.run_id, "loss")


def test_two_runs_share_one_sink(tmp_path: Path, store_uri: str) -> None:
    tracking = Tracking(store_uri, tmp_path / "artifacts")
    logs = [tracking.open_run(tmp_path / name, HEADER) for name in ("one", "two")]
    for step in range(20):
        for log in logs:
            log.metrics({"loss": 1.0}, step)
    (tmp_path / "one" / "a.txt").write_text("x")
    logs[0].artifact(tmp_path / "one" / "a.txt")
    for log in logs:
        log.end("FINISHED")
    assert tracking.close(timeout=60) == []
    runs = _runs(store_uri)
    assert {run.info.run_id for run in runs} == {log.run_id(timeout=1) for log in logs}
    assert [_steps(store_uri, run) for run in runs] == [list(range(20))] * 2
    assert len(list((tmp_path / "artifacts").rglob("a.txt"))) == 1
    assert not (tmp_path / "two" / LOG_FILE).exists()


def test_a_run_that_goes_on_knows_how_long_it_took_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 0

    def attempt(begins: int, lasts: int, ends: int, continues: bool) -> float:
        nonlocal clock
        clock = begins
        log = RunLog(tmp_path, replace(HEADER, continues=continues), "none", None, False)
        clock = begins + lasts
        log.metrics({"loss": 1.0}, begins)
        clock = ends  # written by whoever has noticed
        log.end("KILLED")
        return log.seconds_before

    monkeypatch.setattr("rnnexp.tracking.service.milliseconds", lambda: clock)
    assert attempt(1_000, 4_000, 9_000, continues=False) == 0.0
    assert attempt(50_000, 2_000, 90_000, continues=True) == 4.0
    assert attempt(100_000, 1_000, 101_000, continues=True) == 6.0
    assert attempt(200_000, 1_000, 201_000, continues=False) == 0.0, "another run"
    assert attempt(300_000, 1_000, 301_000, continues=True) == 1.0


def test_run_id_gives_up_in_time(tmp_path: Path) -> None:
    tracking = Tracking("http://127.0.0.1:1", None)
    log = tracking.open_run(tmp_path, HEADER)
    begun = time.monotonic()
    assert log.run_id(timeout=0.2) is None
    assert time.monotonic() - begun < 2
    log.end("FINISHED")
    assert tracking.close(timeout=0.1) == [tmp_path]
    assert tracking._sink is not None
    os.kill(tracking._sink.process.pid, signal.SIGKILL)


@pytest.mark.parametrize("runs", [1, 2])
def test_dead_sink_is_replaced(tmp_path: Path, store_uri: str, runs: int) -> None:
    tracking = Tracking(store_uri, None)
    logs = [tracking.open_run(tmp_path / "0", HEADER)]
    assert tracking._sink is not None
    tracking._sink.process.kill()
    tracking._sink.process.wait(10)
    logs += [tracking.open_run(tmp_path / str(n), HEADER) for n in range(1, runs)]
    for log in logs:
        log.metrics({"loss": 1.0}, 0)
        log.end("FINISHED")
    assert tracking.close(timeout=60) == []
    assert [run.info.status for run in _runs(store_uri)] == ["FINISHED"] * runs


def test_a_sink_that_is_killed_while_a_run_goes_on_is_replaced(
    tmp_path: Path, store_uri: str
) -> None:
    tracking = Tracking(store_uri, None)
    log = tracking.open_run(tmp_path / "run", HEADER)
    log.metrics({"loss": 1.0}, 0)
    run_id = log.run_id(timeout=60)
    assert run_id is not None
    assert tracking._sink is not None
    os.kill(tracking._sink.process.pid, signal.SIGKILL)
    for step in range(1, 20):
        log.metrics({"loss": 1.0}, step)
    assert comes_true(lambda: len(steps_in(MlflowClient(store_uri), run_id, "loss")) == 20, 120)
    log.end("FINISHED")
    assert tracking.close(timeout=60) == []
    (run,) = _runs(store_uri)
    assert sorted(_steps(store_uri, run)) == list(range(20))


class Dead:
    """A sink that ends as soon as it has begun."""

    returncode = -signal.SIGKILL

    def __init__(self, begun: list[str]) -> None:
        begun.append("a sink")
        self.process, self.log = self, None

    def poll(self) -> int:
        return -signal.SIGKILL

    def engage(self, *order: object) -> None: ...

    def hang_up(self) -> None: ...

    def wait(self, timeout: float) -> None: ...


def test_sinks_that_die_again_and_again_are_not_started_at_every_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr("rnnexp.tracking.service.Courier", lambda: Dead(begun))
    tracking = Tracking("sqlite:///x.db", None)
    tracking.open_run(tmp_path, HEADER, background=False).end("FINISHED")
    for _ in range(4):
        tracking.look_after()
    assert len(begun) == 2, "the second at once, a third only after a while"
    assert tracking.close(timeout=0) == [tmp_path]
    assert len(begun) == 3
    tracking.look_after()
    assert len(begun) == 3, "after the end none is started"


def refused() -> Dead:
    raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")


def test_where_no_process_can_be_made_the_end_is_orderly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr("rnnexp.tracking.service.Courier", lambda: Dead(begun))
    tracking = Tracking("sqlite:///x.db", None)
    tracking.open_run(tmp_path, HEADER, background=False).end("FINISHED")
    monkeypatch.setattr("rnnexp.tracking.service.Courier", refused)
    assert tracking.close(timeout=10) == [tmp_path]


def test_a_run_begins_without_a_sink_and_gets_one_when_a_process_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    tracking = Tracking("sqlite:///x.db", None)
    with monkeypatch.context() as full:
        full.setattr("rnnexp.tracking.service.Courier", refused)
        log = tracking.open_run(tmp_path, HEADER, background=False)
    monkeypatch.setattr("rnnexp.tracking.service.Courier", lambda: Dying(begun, 0))
    tracking.look_after()
    assert begun == ["a sink"]
    log.end("FINISHED")
    assert tracking.close(timeout=0) == [tmp_path]


def test_a_sink_that_dies_while_its_answer_is_awaited_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr("rnnexp.tracking.service.Courier", lambda: Dead(begun))
    log = Tracking("sqlite:///x.db", None).open_run(tmp_path, HEADER, background=False)
    log.end("FINISHED")
    assert log.run_id(timeout=0.1) is None
    assert len(begun) == 2


class Dying(Dead):
    """A sink that lives until it is waited for."""

    def __init__(self, begun: list[str], code: int) -> None:
        super().__init__(begun)
        self.returncode = code

    def poll(self) -> None: ...


@pytest.mark.parametrize(("code", "sinks"), [(-signal.SIGKILL, 2), (1, 1), (0, 1)])
def test_a_sink_that_is_killed_at_the_end_is_replaced_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, sinks: int
) -> None:
    begun: list[str] = []
    monkeypatch.setattr("rnnexp.tracking.service.Courier", lambda: Dying(begun, code))
    tracking = Tracking("sqlite:///x.db", None)
    tracking.open_run(tmp_path, HEADER, background=False).end("FINISHED")
    assert tracking.close(timeout=10) == [tmp_path]
    assert len(begun) == sinks


OWNER = """
import sys, time
from pathlib import Path
from rnnexp.tracking import RunHeader, Tracking

uri, folder = sys.argv[1], Path(sys.argv[2])
tracking = Tracking(uri, None)
logs = [tracking.open_run(folder / n, RunHeader(n, "study", {}, {})) for n in ("done", "open")]
logs[0].metrics({"loss": 1.0}, 0)
logs[0].end("FINISHED")
for step in range(3000):
    logs[1].metrics({"loss": 1.0}, step)
    if step == 2000:
        logs[1]._journal.flush()
        print(tracking._sink.process.pid, flush=True)
time.sleep(60)
"""


def test_kill_of_the_owner_loses_nothing(start_python, tmp_path: Path, store_uri: str) -> None:
    owner = start_python("-c", OWNER, store_uri, str(tmp_path), cwd=tmp_path)
    sink = int(owner.stdout.readline())
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait(10)
    assert comes_true(lambda: not is_alive(sink), 60)
    assert delivered(tmp_path / "done")
    by_name = {run.info.run_name: run for run in _runs(store_uri)}
    assert by_name["done"].info.status == "FINISHED"
    assert by_name["open"].info.status == "FAILED"
    assert by_name["open"].data.tags[ERROR_TAG] == "the process was killed"
    written = [step for step, _ in load_run(tmp_path / "open").metrics["loss"]]
    assert len(written) > 2000
    assert sorted(_steps(store_uri, by_name["open"])) == written


def test_server_that_is_away_at_first_gets_everything_once(
    start_server, free_port: int, tmp_path: Path, store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    tracking = Tracking(f"http://127.0.0.1:{free_port}", None)
    log = tracking.open_run(tmp_path / "run", HEADER)
    slowest = 0.0
    for step in range(1500):
        begun = time.perf_counter()
        log.metrics({"loss": 1.0, "norm": 2.0}, step)
        slowest = max(slowest, time.perf_counter() - begun)
    log._journal.flush()
    assert slowest < 0.5  # training does not wait
    assert comes_true(lambda: (tmp_path / "run" / LOG_FILE).stat().st_size > 0)  # it has been tried
    start_server(free_port)
    (tmp_path / "run" / "a.txt").write_text("x")
    log.artifact(tmp_path / "run" / "a.txt")
    log.metrics({"loss": 1.0}, 1500)
    log.end("FINISHED")
    assert tracking.close(timeout=60) == []
    (run,) = _runs(store_uri)
    assert run.info.status == "FINISHED"
    assert sorted(_steps(store_uri, run)) == list(range(1501))
    assert len(list((tmp_path / "served").rglob("a.txt"))) == 1


def test_the_last_error_of_a_sink_is_said_in_a_line(tmp_path: Path) -> None:
    log = tmp_path / LOG_FILE
    assert last_problem(log) is None
    log.write_text("10:00:00 OSError: gone\n10:00:15 MlflowException: no name\n[SQL: INSERT]\n")
    assert last_problem(log) == "MlflowException: no name"
