"""What ``rnnexp ui`` says: of a store in a file before MLflow's server begins, of one elsewhere."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from rnnexp.__main__ import run
from rnnexp.app.commands.ui import links
from rnnexp.tracking import Comparison, RunHeader, experiments_in, sweeps_in
from rnnexp.tracking.mlflow_store import MlflowStore
from rnnexp.tracking.records import start_record
from rnnexp.tracking.views import SweepView


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command sets for its own process, put back after the test."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")


@pytest.fixture
def web_page() -> Iterator[str]:
    """The address of a server that is none of MLflow's."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("port", ["99999999", "0", "-1", "x"])
def test_a_port_that_there_is_not_is_refused(
    port: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["ui", f"--port={port}"])
    assert ended.value.code == 2
    assert f"{port}: give a number from 1 to 65535." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("foo", "foo: not a store MLflow can write to. Use sqlite:///FILE"),
        ("tracking.uri=ftp://x", "ftp://x: not a store MLflow can write to."),
        ("sqlite:///none.db", "There is no store at"),
    ],
)
def test_what_is_no_store_is_refused(
    word: str, said: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ui", word]) == 2
    assert said in capsys.readouterr().err
    assert list(workdir.iterdir()) == []


def test_the_links_lead_to_the_runs() -> None:
    page = "http://h:1/#/experiments/1/runs?workflowType=machine_learning"
    assert links("http://h:1", {"mine": ("1", False)}) == [f"  mine: {page}"]
    with_view = [f"  mine: {page}&viewStateShareKey=rnnexp"]
    assert links("http://h:1", {"mine": ("1", True)}) == with_view
    assert links("http://h:1", {}) == ["  http://h:1/#/experiments?workflowType=machine_learning"]
    many = {str(number): (str(number), True) for number in range(50)}
    assert len(links("http://h:1", many)) == 8
    of_sweep = f"  the runs of lstms, the best first: {page}&viewStateShareKey=af7"
    sweep = SweepView("lstms", "1", "af7", "the best first", "ada", 0)
    assert links("http://h:1", {"mine": ("1", True)}, [sweep])[1:] == [of_sweep]


def test_sweeps_of_one_name_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "localtime", time.gmtime)
    sweeps = [
        SweepView(name, "1", f"id{number}", "the best first", user, 60_000 * number)
        for number, (name, user) in enumerate([("lrs", "ada"), ("lrs", ""), ("one", "ada")])
    ]
    found = [line.partition(", the best")[0] for line in links("h", {"a": ("1", True)}, sweeps)[1:]]
    assert found == [
        "  the runs of lrs (ada, 1970-01-01 00:00)",
        "  the runs of lrs (1970-01-01 00:01)",
        "  the runs of one",
    ]


@pytest.mark.usefixtures("impatient")
def test_a_server_is_asked_for_its_views(
    start_server, free_port: int, store_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store, tags = MlflowStore(store_uri), {"rnnexp.sweep.jobs": "2"}
    lrs = RunHeader("lrs", "study", {}, tags, compared=Comparison(("lr",), "val/loss", True))
    store.open_run(start_record(lrs, "lrs", "uri", None, 1000))
    store.open_run(start_record(RunHeader("one", "other", {}, {}), "one", "uri", None, 2000))
    start_server(free_port)
    address = f"http://127.0.0.1:{free_port}"
    assert run(["ui", f"tracking.uri={address}/"]) == 0
    file = Path(store_uri.removeprefix("sqlite:///"))
    local = links(address, experiments_in(file), sweeps_in(file, 8))
    assert len(local) == 3
    assert capsys.readouterr().out.splitlines()[1:] == local


@pytest.mark.usefixtures("impatient")
def test_where_no_server_answers_it_is_said(
    free_port: int, web_page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for address, said in (
        (f"http://127.0.0.1:{free_port}", "no server answers there. Start it, or give the address"),
        (web_page, "does not list its experiments as an MLflow server does"),
    ):
        assert run(["ui", address]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert said in told.err
