"""Refuse what a command sets and no run of it would use: who sets it expects something of it."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any

from rnnexp.app.config.build import Plan
from rnnexp.app.config.overrides import parse
from rnnexp.errors import ConfigError

Values = Mapping[str, Any]


@dataclass(frozen=True)
class _Rule:
    """When keys of a group are idle.

    Args:
        group: the group.
        keys: their names in it.
        ruler: the key of the same group that says whether they are used.
        used: under which of its values.
        use: what to do instead.
    """

    group: str
    keys: tuple[str, ...]
    ruler: str
    used: Callable[[Any], bool]
    use: str


_RULES = (
    _Rule("clip", ("max_norm",), "by", lambda by: by == "norm", "clip=norm"),
    _Rule("clip", ("max_value",), "by", lambda by: by == "value", "clip=value"),
    _Rule(
        "unroll",
        ("teacher_share", "teacher_schedule", "teacher_floor", "teacher_steps"),
        "feed",
        lambda feed: feed == "scheduled",
        "unroll=scheduled",
    ),
    _Rule(
        "unroll",
        ("teacher_floor",),
        "teacher_schedule",
        lambda schedule: schedule == "linear",
        "unroll.teacher_schedule=linear",
    ),
    _Rule(
        "unroll",
        ("teacher_steps",),
        "teacher_schedule",
        lambda schedule: schedule != "constant",
        "another unroll.teacher_schedule",
    ),
    _Rule("omega", ("weight", "decay_steps"), "flavour", lambda f: f != "none", "omega=paper"),
    _Rule("model", ("dropout",), "layers", lambda layers: layers > 1, "model.layers=2 or more"),
    _Rule(
        "model",
        ("ridge_strength", "ridge_batches"),
        "readout_fit",
        lambda fit: fit == "ridge",
        "model.readout_fit=ridge",
    ),
    _Rule(
        "monitor",
        ("max_rollbacks", "rollback_factor", "snapshot_every"),
        "nonfinite",
        lambda policy: policy == "rollback",
        "monitor.nonfinite=rollback",
    ),
)
_OFF_AT_ZERO = ("dropout", "teacher_floor", "weight")
"""Keys whose zero asks for nothing, as their rule gives."""
_OF_A_SWEEP = re.compile(r"(hydra[/.](launcher|sweeper)|hydra\.sweep|sweep)(\.|$)")
_WORDS = {"clip.by": "clip", "omega.flavour": "omega"}
"""Rulers whose values are the choices of their group."""


def refuse_idle(jobs: Iterable[tuple[Sequence[str], Plan]]) -> None:
    """Refuse keys that have no effect in any of the runs for which they were given.

    Args:
        jobs: the overrides and the plan of each run of a command.

    Raises:
        ConfigError: names the first of them, why, and what to do.
    """
    given = [({o.lstrip("+").partition("=")[0] for o in words}, plan) for words, plan in jobs]
    for rule in _RULES:
        for key in rule.keys:
            configs = [plan.values for keys, plan in given if f"{rule.group}.{key}" in keys]
            if configs and all(_is_idle(rule, key, values) for values in configs):
                raise _no_effect(rule, key, configs[0])
    plans = [plan for keys, plan in given if "unroll.checkpoint_every" in keys]
    reasons = list(map(_against_checkpoints, plans))
    if plans and all(reasons):
        every = plans[0].values["unroll"]["checkpoint_every"]
        raise ConfigError(f"unroll.checkpoint_every={every} has no effect {reasons[0]}")


def sweep_words(overrides: Sequence[str]) -> list[str]:
    """List those overrides that say how a sweep runs: of one run they change nothing."""
    parsed = parse(overrides)
    return [o.input_line or "" for o in parsed if _OF_A_SWEEP.match(o.key_or_group)]


def refuse_sweep_words(overrides: Sequence[str]) -> None:
    """Refuse what says how a sweep runs, where the command is one run.

    Args:
        overrides: as on the command line; what files say of sweeps is for those that use them.

    Raises:
        ConfigError: names the first of them, and what to do.
    """
    for word in sweep_words(overrides):
        raise ConfigError(
            f"{word}: it says how the jobs of a sweep run, and this command is one run, in this "
            "process. Begin with -m, as in rnnexp train -m ..., or leave it out."
        )


def _is_idle(rule: _Rule, key: str, values: Values) -> bool:
    group = values[rule.group]
    asks = group[key] is not None and (group[key] != 0 or key not in _OFF_AT_ZERO)
    return asks and not rule.used(group[rule.ruler])


def _against_checkpoints(plan: Plan) -> str | None:
    unroll = plan.values["unroll"]
    every, steps = unroll["checkpoint_every"], unroll["window"] or plan.task.length
    if every is None:
        return None
    if plan.feedback and unroll["feed"] != "teacher":
        return f"under unroll.feed={unroll['feed']}, which runs step by step. Leave it out."
    if every >= steps:
        return f"where {steps} steps are unrolled at a time. Give fewer, best {isqrt(steps)}."
    return None


def _no_effect(rule: _Rule, key: str, values: Values) -> ConfigError:
    group, ruler = values[rule.group], f"{rule.group}.{rule.ruler}"
    return ConfigError(
        f"{rule.group}.{key}={group[key]} has no effect under "
        f"{_WORDS.get(ruler, ruler)}={group[rule.ruler]}. Use {rule.use}."
    )
