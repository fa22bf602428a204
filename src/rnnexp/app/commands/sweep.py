"""``rnnexp sweep plan | status | retry``: what a sweep would do, does, does again."""

import argparse
import math
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rnnexp.app.commands.arguments import hydra_words, only_informs, plain
from rnnexp.app.jobs.folder import (
    ENDS,
    FROZEN,
    STATUS,
    SWEEPS,
    State,
    outcome_of,
    outcomes_of,
    state_of,
)
from rnnexp.app.jobs.lease import at_work_in
from rnnexp.app.sweep.definition import earlier_in, folders_in
from rnnexp.app.sweep.queued import in_words, waiting
from rnnexp.errors import ConfigError, unknown
from rnnexp.files import DEFINITION
from rnnexp.tracking.files import read_json

if TYPE_CHECKING:
    from rnnexp.app.sweep.search import Search
    from rnnexp.app.sweep.sweep import Sweep

_WORDS: dict[State, str] = {
    "new": "to run",
    "interrupted": "to be continued",
    "done": "done",
    "failed": "failed",
    "running": "running",
    "pruned": "pruned",
}


_PLAN_TAKES = "of Hydra's flags it takes -m and --config-dir DIR. The others go with rnnexp train."


def main(command: str, arguments: list[str]) -> int:
    """Take the first word to the function that it names."""
    known: dict[str, Callable[[list[str]], int]] = {"plan": plan, "status": status, "retry": retry}
    if not arguments or arguments[0] in ("-h", "--help"):
        return _help()
    if arguments[0] not in known:
        raise unknown(f"{command} command", arguments[0], known)
    return known[arguments[0]](arguments[1:])


_HELP = (
    "plan KEY=VALUE ...  its jobs: done, or where they would run",
    "status [NAME]       what has become of its jobs; or all sweeps",
    "retry NAME          start it again, with the jobs that failed",
)


def _help() -> int:
    print(f"{plain(__doc__ or '')}\n\n" + "\n".join(f"  rnnexp sweep {line}" for line in _HELP))
    return 0


def plan(arguments: list[str]) -> int:
    """Show what ``rnnexp train -m`` with these overrides would do."""
    from rnnexp.app.config.compose import check_jobs, launcher_of, prepare
    from rnnexp.app.run.going_on import check_resumes
    from rnnexp.app.sweep.items import Item, over_in_sweep
    from rnnexp.app.sweep.places import places_of
    from rnnexp.app.sweep.search import Search
    from rnnexp.app.sweep.session import Session
    from rnnexp.app.sweep.watch import JobTask

    args = hydra_words("sweep plan", "[-m] [--config-dir DIR] [--help]", arguments)
    if args.help:
        return _help()
    if only_informs(args):
        raise ConfigError(f"rnnexp sweep plan {' '.join(arguments)}: {_PLAN_TAKES}")
    overrides: list[str] = args.overrides
    prepare(overrides, sweep=True)
    jobs = check_jobs(overrides, True, args.config_dir, is_over=over_in_sweep(overrides))
    check_resumes([job.plan for job in jobs], multirun=True)
    sweep = Session(["rnnexp", "sweep", "plan"], jobs, overrides, True).sweep
    assert sweep is not None
    folders, left = _plan_search(sweep) if isinstance(sweep, Search) else _plan_jobs(sweep)
    launcher = launcher_of(overrides, args.config_dir)
    tasks = [JobTask(Item(job, "", Path())) for job in jobs]
    places = places_of(launcher, left, tasks)
    print(f"hydra/launcher={launcher.name}: {places.words}")
    print(_estimate(folders, left, places.at_once))
    return 0


def _plan_jobs(sweep: "Sweep") -> tuple[list[Path], int]:
    states = sweep.states()
    for item in sweep.items:
        print(f"{_WORDS[states[item.key]]:<16} {item.key}  {' '.join(item.job.overrides)}")
    print(f"{sweep.name}: {_counts(list(states.values()))} | {sweep.folder}")
    return [item.folder for item in sweep.items], len(sweep.left())


def _plan_search(sweep: "Search") -> tuple[list[Path], int]:
    # Which trials it will have is not known before they are suggested.
    if sweep.changed:
        print(f"{sweep.name}: its trials so far {sweep.outdated}. It would begin anew.")
        return [], sweep.total
    folders = folders_in(sweep.folder)
    states: list[State] = [state_of(folder) for folder in folders]
    print(f"{sweep.name}: {sweep.describe()}")
    print(f"{_counts(states) or 'none begun'} | {sweep.folder}")
    again = states.count("failed") if sweep.options["retry_failed"] else 0
    begun = states[len(earlier_in(sweep.folder)) :]
    suggested = read_json(sweep.folder / DEFINITION).get("suggested", len(begun))
    unended = sum(state not in ENDS for state in begun)
    return folders, max(0, sweep.total - suggested) + unended + again


def status(arguments: list[str]) -> int:
    """Show what has become of the jobs of a sweep."""
    if not arguments:
        return _status_of_all()
    name = _name("status", arguments)
    holder = at_work_in(SWEEPS / name)
    states: list[State] = []
    for folder in folders_in(SWEEPS / name):
        states.append(state_of(folder))
        what = " ".join(filter(None, (_overrides_of(folder), _how(folder, states[-1]))))
        print(f"{_WORDS[states[-1]]:<16} {folder.name}  {what}".rstrip())
    print(f"{name}: {_counts(states)} | {SWEEPS / name}")
    if words := in_words(waiting(SWEEPS / name)):
        print(f"{words}.")
    if holder is not None:
        print(f"It is being run by {holder}.")
    return 0


def _status_of_all() -> int:
    names = _known()
    for name in names:
        print(f"{name}: {_counts([state_of(f) for f in folders_in(SWEEPS / name)])}")
    if not names:
        print(_none())
    return 0


def _overrides_of(folder: Path) -> str:
    return str(read_json(folder / FROZEN).get("tags", {}).get("rnnexp.overrides", ""))


def _how(folder: Path, state: State) -> str:
    if state == "running":
        progress = read_json(folder / STATUS, needed=False)
        return f"| step {progress['step']}/{progress['of']}" if progress else ""
    outcome = outcome_of(folder)
    return f"| {outcome.error}" if outcome and outcome.error else ""


def retry(arguments: list[str]) -> int:
    """Start a sweep again, with the jobs that failed."""
    name = _name("retry", arguments)
    definition = read_json(SWEEPS / name / DEFINITION)
    flags = ["-m"]
    if definition.get("config_dir"):
        flags += ["--config-dir", str(definition["config_dir"])]
    kept = _asked(map(str, definition["overrides"]))
    from rnnexp.app.commands import train
    from rnnexp.app.config.command_line import override

    words = [*kept, override("sweep.name", name), "sweep.retry_failed=true"]
    code = train.main("train", [*flags, *words])
    for command in _failed_earlier(name, kept):
        print(f"rnnexp: of an earlier command jobs have failed, too. Again: {command}")
    return code


def _asked(words: Iterable[str]) -> list[str]:
    ours = ("-", "sweep.name=", "sweep.retry_failed=")
    return [word for word in words if not word.startswith(ours)]


def _failed_earlier(name: str, asked: Sequence[str]) -> list[str]:
    # Only a command knows all that it asked for; a job knows its command. Those of the same words
    # are of plugins as they were: another source is another job.
    failed = [folder for folder in earlier_in(SWEEPS / name) if state_of(folder) == "failed"]
    tags = [read_json(folder / FROZEN).get("tags", {}) for folder in failed]
    commands = dict.fromkeys(str(t["rnnexp.command"]) for t in tags if "rnnexp.command" in t)
    others = (c for c in commands if set(_asked(shlex.split(c)[2:])) != set(asked))
    again = " sweep.retry_failed=true"
    return [f"{command.removesuffix(again)}{again}" for command in others]


def _name(verb: str, arguments: list[str]) -> str:
    all_without = verb == "status"
    parser = argparse.ArgumentParser(prog=f"rnnexp sweep {verb}")
    parser.add_argument("name", nargs="?" if all_without else None, metavar="NAME")
    name = str(parser.parse_args(arguments).name)
    if not (SWEEPS / name / DEFINITION).is_file():
        raise unknown("sweep", name, _known()) if _known() else ConfigError(_none())
    return name


def _known() -> list[str]:
    return [file.parent.name for file in sorted(SWEEPS.glob(f"*/{DEFINITION}"))]


def _none() -> str:
    return f"There is no sweep in {SWEEPS.resolve()}. Start one: rnnexp train -m"


def _counts(states: Sequence[State]) -> str:
    counts = Counter(states)
    return ", ".join(f"{counts[s]} {word}" for s, word in _WORDS.items() if counts[s])


def _estimate(folders: Sequence[Path], left: int, at_once: int | None) -> str:
    seconds = [o.seconds for o in outcomes_of(folders) if o.status == "FINISHED"]
    jobs = "1 job" if left == 1 else f"{left} jobs"
    if not seconds:
        return f"{jobs} left; how long they take is not known before one is done."
    each = sum(seconds) / len(seconds)
    if at_once is None:
        return f"{jobs} left, about {_time(left * each)} of one job after the other."
    rounds = math.ceil(left / at_once)
    return f"{jobs} left, about {_time(rounds * each)} with {at_once} at once."


def _time(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
