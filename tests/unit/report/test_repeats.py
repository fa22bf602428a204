"""A run that was made again is no second sample, and an edited plugin is another one."""

from dataclasses import replace

from rnnexp.report.repeats import once_each, with_sources
from rnnexp.report.table import differing
from rnnexp.tracking.outcome import Outcome


def run(folder: str, job: str | None = None, status: str = "FINISHED") -> Outcome:
    return Outcome(folder, folder, status, {}, {}, 1.0, None, None, job=job)


def of(name: str = "lstm", /, **digests: str) -> Outcome:
    sources = {plugin.replace("__", "."): digest for plugin, digest in digests.items()}
    return replace(run("x"), config={"cell.name": name, "task.name": "adding"}, sources=sources)


def folders(runs: list[Outcome]) -> list[str]:
    return [run.folder for run in runs]


def test_runs_of_one_job_count_once() -> None:
    runs = [run("a", "x"), run("b", "y"), run("c", "x"), run("d", "y")]
    assert folders(once_each(runs)) == ["a", "b"]


def test_one_that_finished_stands_for_those_that_did_not() -> None:
    runs = [run("a", "x", "KILLED"), run("b", "y"), run("c", "x"), run("d", "x")]
    assert folders(once_each(runs)) == ["c", "b"]


def test_runs_of_which_nothing_is_known_are_all_different() -> None:
    assert folders(once_each([run("a"), run("b")])) == ["a", "b"]


def told_apart(*runs: Outcome) -> list[str]:
    return differing(found.config for found in with_sources(runs))


def test_an_edited_plugin_tells_runs_apart() -> None:
    runs = [of(task="1" * 64), of(task="2" * 64)]
    assert told_apart(*runs) == ["source.task"]
    assert [r.config["source.task"] for r in with_sources(runs)] == ["11111111", "22222222"]
    assert "source.task" not in runs[0].config


def test_plugins_of_different_names_are_told_by_their_names() -> None:
    runs = [of("gru", cell="1"), of("lstm", cell="2")]
    assert told_apart(*runs) == ["cell.name"]
    assert told_apart(*runs, of("gru", cell="3")) == ["cell.name", "source.cell"]


def reading(file: str, digest: str) -> Outcome:
    found = of(task__path=digest)
    return replace(found, config={**found.config, "task.path": file})


def test_a_file_is_edited_only_where_two_have_its_name() -> None:
    assert told_apart(reading("a", "1"), reading("a", "2")) == ["source.task.path"]
    assert told_apart(reading("a", "1"), reading("b", "2")) == ["task.path"]


def test_a_callback_is_edited_only_where_two_have_it() -> None:
    one, two, without = of(callback__norm="1"), of(callback__norm="2"), of()
    assert told_apart(one, without) == []
    assert told_apart(one, two, without) == ["source.callback.norm"]


def test_sources_that_are_not_known_are_not_told() -> None:
    assert told_apart(of(task="1"), of()) == []
