"""The options of a search, checked before Optuna is touched."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra_plugins.rnnexp_optuna_sweeper._space import SearchError

SAMPLERS = ("tpe", "cmaes", "random", "grid")
PRUNERS = ("none", "median", "hyperband")
DIRECTIONS = ("minimize", "maximize")
USUAL = ("val/loss",)
"""The objectives where none are given, and the program has none of its own."""


@dataclass(frozen=True)
class Settings:
    """How a search is made; the fields are those of `OptunaSweeperConf`."""

    sampler: str
    sampler_options: Mapping[str, Any]
    pruner: str
    pruner_options: Mapping[str, Any]
    trials: int
    seed: int | None
    objectives: Sequence[str]
    directions: Sequence[str]
    storage: str | None


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Read the options of the sweeper.

    Raises:
        SearchError: a name is unknown, or they do not fit together.
    """
    given = options["objectives"]
    objectives = [str(name) for name in (USUAL if given is None else given)]
    directions = [str(d) for d in options["directions"] or ["minimize"] * len(objectives)]
    _known("sampler", options["sampler"], SAMPLERS)
    _known("pruner", options["pruner"], PRUNERS)
    for direction in directions:
        _known("direction", direction, DIRECTIONS)
    _check_numbers(objectives, directions, options)
    return Settings(
        sampler=str(options["sampler"]),
        sampler_options={str(k): v for k, v in options["sampler_options"].items()},
        pruner=str(options["pruner"]),
        pruner_options={str(k): v for k, v in options["pruner_options"].items()},
        trials=int(options["trials"]),
        seed=options["seed"],
        objectives=objectives,
        directions=directions,
        storage=options["storage"],
    )


def _check_numbers(
    objectives: Sequence[str], directions: Sequence[str], options: Mapping[str, Any]
) -> None:
    if not objectives or len(set(objectives)) != len(objectives):
        raise SearchError(f"hydra.sweeper.objectives: name each one once, got {objectives}.")
    if len(directions) != len(objectives):
        raise SearchError(
            f"hydra.sweeper.directions: {len(directions)} for {len(objectives)} objectives. "
            "Give one for each."
        )
    if len(objectives) > 1 and options["pruner"] != "none":
        raise SearchError(
            f"hydra.sweeper.pruner={options['pruner']} judges by one objective, and there are "
            f"{len(objectives)}. Use hydra.sweeper.pruner=none."
        )
    if int(options["trials"]) < 1:
        raise SearchError(f"hydra.sweeper.trials: at least 1, got {options['trials']}.")


def _known(what: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise SearchError(f"hydra.sweeper.{what}={name} is unknown. {hint(name, names)}")


def hint(name: str, names: Iterable[str]) -> str:
    """Say which name was probably meant, and all of them."""
    known = sorted(names)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f"Did you mean '{close[0]}'? " if close else ""
    return f"{meant}Known: {', '.join(known)}."
