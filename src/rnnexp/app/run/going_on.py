"""Refuse a ``resume=`` that cannot work, before a file of the earlier run is touched."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rnnexp.app.config.build import Plan
from rnnexp.app.config.command_line import key_value
from rnnexp.app.config.idle import sweep_words
from rnnexp.app.config.pretrained import size_in
from rnnexp.app.jobs.folder import Frozen, is_frozen
from rnnexp.app.run.alone import check_free
from rnnexp.app.run.changes import LENGTH_KEYS
from rnnexp.app.run.loadable import loadable
from rnnexp.app.run.resume import Origin, locate, words_of
from rnnexp.app.run.run import flatten
from rnnexp.errors import ConfigError
from rnnexp.files import CONFIG
from rnnexp.tracking.lookup import first_tags_of
from rnnexp.training.checkpoints import load_whole
from rnnexp.training.resume import epochs_done

_KEPT = ("seed", "cell", "task", "model", "optimizer")
"""What makes a run this run; the optimizer goes on with what its checkpoint holds anyway."""
_CHOICES = (".name", "._target_")
"""Ends of the keys that name what a group has chosen."""


def check_resumes(plans: Sequence[Plan], multirun: bool) -> None:
    """Look whether what the runs of a command go on from suits them.

    Args:
        plans: theirs.
        multirun: whether they are a sweep.

    Raises:
        ConfigError: there is nothing to go on from, it belongs to another network, or
            a living process is at work on it.
    """
    for plan in plans:
        resume = plan.values["resume"]
        if resume is None:
            continue
        if not resume:
            raise ConfigError(
                "resume=: it names nothing. Give a run's id, its folder or a checkpoint file, or "
                "leave resume= out."
            )
        origin = locate(resume)
        if origin.folder is not None:
            _check_same_run(plan, resume, origin, origin.folder, multirun)
        if origin.checkpoint is not None:
            content = _content_of(resume, origin.checkpoint)
            _check_weights(plan, resume, origin.checkpoint, content)
            _check_optimizer(plan, resume, origin.checkpoint)
            _check_not_past(plan, resume, content)


def _check_same_run(plan: Plan, resume: str, origin: Origin, folder: Path, multirun: bool) -> None:
    start = _new_start(origin.checkpoint)
    if multirun:
        raise ConfigError(
            f"resume={resume}: one run cannot go on as several. Leave out -m and resume one run at "
            f"a time.{start}"
        )
    # Its record says whose job it is, too, where the file of the job was removed.
    tags = Frozen.read(folder).tags if is_frozen(folder) else first_tags_of(folder)
    if "rnnexp.sweep.name" in tags:
        start = f"\n{start.lstrip()} {_of_one_run(tags)}" if start else ""
        raise ConfigError(
            f"resume={resume}: this run is a job of the sweep {tags['rnnexp.sweep.name']}, and "
            f"goes on by the sweep's command again: {tags.get('rnnexp.command')}{start}".rstrip()
        )
    check_free(folder)
    come_back = words_of(folder) is not None
    for key, then, now in _changed(plan, folder, _KEPT):
        raise ConfigError(
            f"resume={resume}: {key} was {then} in this run, and is {now} now. A run that goes on "
            f"keeps its {', '.join(_KEPT[:-1])} and {_KEPT[-1]}. "
            f"{_as_before(key, then, come_back)}"
            f"{start if _may_start(plan, resume, origin.checkpoint) else ''}"
        )


def _of_one_run(tags: Mapping[str, str]) -> str:
    words = shlex.split(tags.get("rnnexp.overrides", ""))
    of_sweeps = sweep_words(words)
    return shlex.join(word for word in words if word not in of_sweeps)


def _new_start(file: Path | None) -> str:
    if file is None:
        return ""
    return (
        " To start new runs from its weights, name the file, and give cell=, task=, model= and "
        f"optimizer= as they were: {key_value('resume', file)}"
    )


def _as_before(key: str, then: str, may_be_left_out: bool) -> str:
    group = key.partition(".")[0]
    if not key.endswith(_CHOICES):
        return f"Give {key}={then}{f', or leave {key}= out' if may_be_left_out else ''}."
    if may_be_left_out:
        return f"Leave {group}= out."
    return f"Give {group}={then if key.endswith('.name') else ' as it was'}."


def _may_start(plan: Plan, resume: str, file: Path | None) -> bool:
    # What would be refused of a file is no advice.
    if file is None:
        return False
    try:
        _check_weights(plan, resume, file, _content_of(resume, file))
        _check_optimizer(plan, resume, file)
    except ConfigError:
        return False
    return True


def _changed(plan: Plan, folder: Path, groups: Sequence[str]) -> list[tuple[str, str, str]]:
    file = folder / CONFIG
    if not file.is_file():
        return []
    then = flatten(yaml.safe_load(file.read_text(encoding="utf-8")))
    now = flatten(plan.values)
    keys = [key for key in now if key.partition(".")[0] in groups and key in then]
    # By name first: another cell has other options, too.
    keys.sort(key=lambda key: not key.endswith(_CHOICES))
    return [(key, then[key], now[key]) for key in keys if then[key] != now[key]]


def _check_weights(plan: Plan, resume: str, file: Path, content: Mapping[str, Any]) -> None:
    kept = content["state_dict"]
    wanted = loadable(plan, kept).state_dict()
    for name in sorted(wanted.keys() | kept.keys()):
        there, here = size_in(kept, name), size_in(wanted, name)
        if there != here:
            raise ConfigError(
                f"resume={resume}: {file} holds {_what(name)} than the config asks for: {name} is "
                f"{there} there, and {here} here. Give cell=, task=, model= and the callbacks as "
                "they were."
            )


def _what(name: str) -> str:
    return "another network" if name.startswith("network.") else "other weights"


def _check_optimizer(plan: Plan, resume: str, file: Path) -> None:
    # They come back with their state, and with that state their numbers: others would be ignored.
    changed = _changed(plan, file.resolve().parent.parent, ("optimizer", "scheduler"))
    changed = [change for change in changed if change[0] not in LENGTH_KEYS]
    if any(key == "scheduler._target_" and "null" in values for key, *values in changed):
        changed = [change for change in changed if change[0].startswith("optimizer.")]
    for key, then, now in changed:
        # What a file was trained with does not come back by itself; a schedule may end.
        left_out = key.endswith(_CHOICES) and key.startswith("scheduler.")
        raise ConfigError(
            f"resume={resume}: {key} was {then} when this checkpoint was written, and is {now} "
            f"now. Training goes on with the {key.partition('.')[0]} that the checkpoint holds. "
            f"{_as_before(key, then, left_out)} For its weights alone: model.init_from={file}"
        )


def _check_not_past(plan: Plan, resume: str, content: Mapping[str, Any]) -> None:
    behind = {"max_steps": content["global_step"], "max_epochs": epochs_done(content)}
    for key, done in behind.items():
        wanted = plan.values["trainer"][key]
        if wanted is not None and wanted < done:
            raise ConfigError(
                f"resume={resume}: trainer.{key}={wanted}, and {done} are done already. Give "
                f"trainer.{key}={done + 1} or more."
            )


def _content_of(resume: str, file: Path) -> Mapping[str, Any]:
    content = load_whole(file)
    if content is None:
        raise ConfigError(
            f"resume={resume}: {file} is no checkpoint, or a damaged one. Give a run's id, its "
            "folder, or a file from its folder checkpoints."
        )
    return content
