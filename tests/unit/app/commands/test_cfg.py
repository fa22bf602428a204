"""``rnnexp train --cfg job`` shows the config, and says whether it would run."""

import pytest
import yaml

from rnnexp.__main__ import run


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["optimizer.lr=-1"], "optimizer.lr: must be a finite number above 0, got -1."),
        (["unroll=scheduled", "cell=lstm"], "unroll.feed=scheduled would change nothing"),
    ],
)
def test_what_would_be_refused_is_shown_all_the_same(
    workdir, capsys: pytest.CaptureFixture[str], words: list[str], refusal: str
) -> None:
    assert run(["train", *words, "--cfg", "job"]) == 2
    shown = capsys.readouterr()
    assert yaml.safe_load(shown.out)["cell"]["name"] == "lstm"
    assert shown.err.startswith(f"rnnexp: {refusal}")


def test_a_config_that_would_run_is_shown_and_no_more(
    workdir, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "optimizer.lr=0.5", "--cfg", "job"]) == 0
    shown = capsys.readouterr()
    assert yaml.safe_load(shown.out)["optimizer"]["lr"] == 0.5
    assert shown.err == ""
    assert list(workdir.iterdir()) == []
