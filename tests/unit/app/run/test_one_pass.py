"""A run that goes on reads the figures of its record once, and once more for its pictures."""

from collections import Counter
from pathlib import Path

import pytest

from rnnexp.app.config.compose import check_jobs
from rnnexp.app.run.going_on import check_resumes
from rnnexp.app.run.load import load_network
from rnnexp.app.run.resume import origin_of, with_earlier_overrides
from rnnexp.app.run.run import run
from rnnexp.files import JOURNAL
from rnnexp.tracking import Journals
from rnnexp.tracking import journal as journals
from rnnexp.training.interrupt import StopRequest


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often the figures at each offset of a journal have been parsed."""
    counts: Counter[int] = Counter()
    parse = journals._record_of

    def counting(line: bytes, path: Path, offset: int) -> journals.Record:
        if path.name == JOURNAL and line.startswith(journals.FIGURES):
            counts[offset] += 1
        return parse(line, path, offset)

    monkeypatch.setattr(journals, "_record_of", counting)
    return counts


def test_figures_are_parsed_once_to_go_on(earlier: Path, parsed: Counter[int]) -> None:
    words = with_earlier_overrides(["resume=run", "trainer.max_steps=3"])
    plan = check_jobs(words, multirun=False, config_dir=None)[0].plan
    check_resumes([plan], multirun=False)
    origin = origin_of("run", earlier)
    assert not parsed
    log = Journals("sqlite:///no.db", None)
    outcome = run(plan, earlier, log, StopRequest(), tags={}, origin=origin)
    assert outcome.status == "FINISHED", outcome.error
    assert parsed
    assert max(parsed.values()) == 1  # pictures are drawn never here


def test_figures_are_not_parsed_to_load_a_network(earlier: Path, parsed: Counter[int]) -> None:
    load_network(earlier)
    assert not parsed
