"""What the documents say works."""

import re
import shlex
from pathlib import Path

import pytest

from rnnexp.monitors.events import load_events
from rnnexp.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.S)


@pytest.mark.slow
def test_the_page_on_extending_works_as_written(
    rnnexp, start_python, free_port: int, wait_for_server, workdir: Path, store_uri: str
) -> None:
    page = ROOT / "docs" / "extending.md"
    (source,), (commands,) = blocks(page, "python"), blocks(page, "sh")
    words = [shlex.split(line) for line in commands.splitlines() if line.startswith("rnnexp")]
    assert [line[1] for line in words] == ["new-cell", "check", "train", "compare", "ui"]
    for line in words[:-1]:
        done = rnnexp(*line[1:], timeout=200, RNNEXP_PLUGINS="my_plugins" * (line[1] == "train"))
        assert done.code == 0, done.err
    assert (workdir / "my_plugins" / "my_cell.py").read_text() == source
    assert "my_cell" in done.out
    assert (workdir / "curves.png").stat().st_size > 10_000
    start_python("-m", "rnnexp", *words[-1][1:], "--port", str(free_port), cwd=workdir)
    wait_for_server(free_port)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_places_exist(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target
    for place in re.findall(r"`((?:src|plugins|conf|docs|tests|benchmarks)/[\w/.]*)`", text):
        assert (ROOT / place).exists(), place


def test_every_command_of_the_concepts_is_accepted(rnnexp) -> None:
    text = (ROOT / "docs" / "concepts.md").read_text()
    lines = [line for line in re.findall(r"`(rnnexp train [^`]*)`", text) if " -m " not in line]
    assert len(lines) > 10
    from rnnexp.app.config.compose import check_jobs, prepare

    for line in lines:
        overrides = shlex.split(line)[2:]
        assert prepare(overrides) == []
        assert check_jobs(overrides, multirun=False, config_dir=None), line


def test_the_command_that_shows_a_cliff_meets_one(rnnexp, workdir: Path, store_uri: str) -> None:
    text = (ROOT / "docs" / "concepts.md").read_text()
    (line,) = re.findall(r"^\| gradient cliffs \|.*`(rnnexp train [^`]*)` \|$", text, re.M)
    done = rnnexp(*shlex.split(line)[1:], "hydra.run.dir=out", timeout=120)
    assert done.code == 0, done.err
    (event,) = load_events(workdir / "out")
    assert event.kind == "spike"
    assert event.ratio > 50, "far above what counts as one"
    assert (workdir / "out" / "norms.png").stat().st_size > 10_000


def test_the_zoo_has_every_cell_that_can_add(plugins: Registry) -> None:
    page = (ROOT / "docs" / "zoo.md").read_text()
    shown = re.findall(r"^\| (\w+) \| [A-Z]", page, re.M)
    able = {e.name for e in plugins.all("cell") if e.cls.recurs_through == "state"}
    assert set(shown) == able, "make it anew: scripts/zoo"
    assert len(plugins.names("cell")) >= 55
    said = re.search(r"^(\d+) cells, one file each", (ROOT / "README.md").read_text(), re.M)
    assert said is not None
    assert int(said[1]) == len(plugins.names("cell"))
