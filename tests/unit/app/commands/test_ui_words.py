"""What ``rnnexp ui`` refuses before MLflow's server begins."""

from pathlib import Path

import pytest

from rnnexp.__main__ import run
from rnnexp.app.commands.ui import links


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
    assert links("http://h:1", {"mine": ("1", True)}, [("lstms", "1", "af7")])[1:] == [of_sweep]
