"""Refuse what cannot work before anything is trained or stored."""

import math
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from pytorch_lightning.accelerators import AcceleratorRegistry
from pytorch_lightning.strategies import StrategyRegistry

from rnnexp.app.config.build import Plan, build_network, make_plan
from rnnexp.app.config.memory import check_batch
from rnnexp.app.config.pretrained import check_pretrained, pretrained_by, with_file_named
from rnnexp.app.config.probe import made, try_optimizer
from rnnexp.app.config.schedule import over_steps_of
from rnnexp.app.config.schema import GROUPS, RootOptions
from rnnexp.app.config.words import unknown_key
from rnnexp.errors import ConfigError, suggest
from rnnexp.options import REQUIRED, Option, check_options, fits, options_of
from rnnexp.registry import REGISTRY, Kind
from rnnexp.training.team import STRATEGIES

_POSITIVE = (
    "optimizer.lr",
    *("clip.max_norm", "clip.max_value"),
    *("omega.weight", "omega.decay_steps"),
    *("unroll.window", "unroll.teacher_steps", "unroll.checkpoint_every"),
    *("model.layers", "model.dropout", "model.ridge_strength"),
    "threads",
    "tracking.wait",
    *("trainer.max_steps", "trainer.val_every", "trainer.devices", "trainer.accumulate"),
    *("trainer.early_stop_after", "trainer.max_epochs"),
    *("monitor.flow_every", "monitor.dynamics_every", "monitor.cliff_ratio"),
    *("monitor.cliff_deviations", "monitor.max_rollbacks", "monitor.rollback_factor"),
    "monitor.snapshot_every",
    "sweep.timeout",
)
"""Keys whose values must be finite and above zero."""
_OR_ZERO = (
    "omega.weight",
    *("model.dropout", "model.ridge_strength"),
    "tracking.wait",
    "monitor.max_rollbacks",
)
"""Those of them that may be zero, too."""
_SHARES = (
    "model.dropout",
    "unroll.teacher_share",
    "unroll.teacher_floor",
    "monitor.rollback_factor",
)
"""Keys whose values must lie in [0, 1]."""
_LARGEST = {"threads": 4096}
"""More threads than that crash the process."""
_LONGEST_NAME = 500
_LARGEST_SEED = 2**32 - 1
"""What numpy's generators take."""
_OTHERS = ("cell", "task", "optimizer", "scheduler", "callbacks")
"""Groups whose keys are those of what they name."""


def validate(values: dict[str, Any], *, here: bool = True) -> Plan:
    """Check a config, as `plain` gives it: keys, types, values, and whether its parts fit together.

    Args:
        values: the config, now or as it was recorded.
        here: whether it is to run on this machine, whose devices are known.

    Returns:
        The plan of the run: what the config means once ``auto`` is resolved.

    Raises:
        ConfigError, UnknownNameError, PluginError: says what is wrong, and what to do.
    """
    _check_names(values)
    for name, group in GROUPS.items():
        check_options(options_of(group), values[name], name)
    root = {o.name: values[o.name] for o in options_of(RootOptions)}
    for option in options_of(RootOptions):
        option.check(root[option.name], option.name)
    for kind in ("cell", "task"):
        _check_plugin(kind, values[kind])
    for name, options in values["callbacks"].items():
        _check_callback(name, options)
    _check_numbers(values)
    _check_clip(values["clip"])
    _check_teacher(values["unroll"])
    _check_dynamics(values)
    _check_experiment_name(values["tracking"]["experiment"])
    _check_sweep_name(values["sweep"]["name"])
    _check_strategy(values["trainer"])
    if here:
        _check_device(values["trainer"])
    plan = make_plan(values)
    if here:
        check_batch(values, plan.task)
    _check_optimizer(values, plan)
    if (file := pretrained_by(values)) is not None:
        check_pretrained(build_network(plan), file)
    return plan


def plain(config: DictConfig) -> dict[str, Any]:
    """Resolve a config into plain dictionaries and lists.

    Raises:
        ConfigError: a value is missing, an interpolation does not resolve, or there is no run whose
            weights to begin with.
    """
    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key}: a value is needed and none is given.") from error
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).partition("\n")[0]) from error
    assert isinstance(values, dict)
    return with_file_named({str(key): value for key, value in values.items()})


def _check_names(values: Mapping[str, Any]) -> None:
    known = {*_OTHERS, *GROUPS, *(option.name for option in options_of(RootOptions))}
    for name in values:
        if name not in known:
            raise unknown_key(name, known, values)
    for name in sorted(known.difference(values)):
        raise ConfigError(f"{name}: every run needs it. Leave ~{name} out of the command.")


def _check_plugin(kind: Kind, values: Mapping[str, Any]) -> None:
    name = str(values.get("name"))
    entry = REGISTRY.get(kind, name)
    check_options((Option("name", str), *entry.options), values, kind)


def _check_callback(name: str, options: Any) -> None:
    entry = REGISTRY.get("callback", name)
    if options is not None and not isinstance(options, Mapping):
        raise ConfigError(
            f"callbacks.{name}: expected its options, got {options!r}. "
            f"Give +callbacks.{name}={{}}, and each option as +callbacks.{name}.KEY=VALUE."
        )
    check_options(entry.options, options or {}, f"callbacks.{name}")
    for option in entry.options:
        if option.default == REQUIRED and option.name not in (options or {}):
            key = f"callbacks.{name}.{option.name}"
            raise ConfigError(f"{key}: a value is needed and none is given. Give +{key}=VALUE.")
    made("callback", name, options=options or {})  # for what it refuses itself


def _check_numbers(values: Mapping[str, Any]) -> None:
    for key in _POSITIVE:
        value = _lookup(values, key)
        if value is not None:
            _check_positive(key, value, zero_allowed=key in _OR_ZERO)
    for key in _SHARES:
        value = _lookup(values, key)
        if not 0 <= value <= 1:
            raise ConfigError(f"{key}: must lie in [0, 1], got {value!r}.")
    if not 0 <= values["seed"] <= _LARGEST_SEED:
        raise ConfigError(f"seed: must lie in [0, {_LARGEST_SEED}], got {values['seed']}.")
    ratio = values["monitor"]["cliff_ratio"]
    if ratio <= 1:
        raise ConfigError(f"monitor.cliff_ratio: must be above 1, got {ratio}.")


def _check_positive(key: str, value: Any, *, zero_allowed: bool) -> None:
    good = fits(value, float) and math.isfinite(value)
    if not good or value < 0 or (value == 0 and not zero_allowed):
        bound = "0 or more" if zero_allowed else "above 0"
        raise ConfigError(f"{key}: must be a finite number {bound}, got {value!r}.")
    largest = _LARGEST.get(key, math.inf)
    if value > largest:
        raise ConfigError(f"{key}: must be at most {largest}, got {value}.")


def _check_clip(clip: Mapping[str, Any]) -> None:
    by = clip["by"]
    for kind, key in (("norm", "max_norm"), ("value", "max_value")):
        if by == kind and clip[key] is None:
            raise ConfigError(f"clip.{key}: clip={kind} needs a threshold; give clip.{key}=1.0.")


def _check_dynamics(values: Mapping[str, Any]) -> None:
    every, backend = values["monitor"]["dynamics_every"], values["unroll"]["backend"]
    if every is not None and backend == "vendor":
        raise ConfigError(
            f"monitor.dynamics_every={every} needs a backend that can be watched, and "
            "unroll.backend=vendor cannot. Use unroll.backend=auto."
        )


def _check_teacher(unroll: Mapping[str, Any]) -> None:
    share, floor = unroll["teacher_share"], unroll["teacher_floor"]
    falls = unroll["feed"] == "scheduled" and unroll["teacher_schedule"] == "linear"
    if falls and floor > share:
        raise ConfigError(
            f"unroll.teacher_floor={floor} is above unroll.teacher_share={share}, from which the "
            "linear schedule falls. Give a floor below it."
        )


def _check_optimizer(values: Mapping[str, Any], plan: Plan) -> None:
    optimizer, scheduler, trainer = (values[k] for k in ("optimizer", "scheduler", "trainer"))
    mixed = trainer["precision"].endswith("-mixed")
    if optimizer.get("fused") and mixed and values["clip"]["by"] != "none":
        raise ConfigError(
            "optimizer.fused=true divides gradients by their scale within the step, and so cannot "
            f"be clipped before it under trainer.precision={trainer['precision']}. "
            "Use optimizer.fused=false, clip=none or another precision."
        )
    steps = trainer["accelerator"] == "cpu"  # elsewhere torch can do what it cannot here
    over_steps_of(plan, lambda n: try_optimizer(optimizer, scheduler, plan.trained, n, steps=steps))


def _check_experiment_name(name: str) -> None:
    if not name.strip():
        raise ConfigError(
            "tracking.experiment: is empty, and MLflow takes no experiment without a name. "
            "Give one, or leave the key out for 'rnnexp'."
        )
    if len(name) > _LONGEST_NAME:
        raise ConfigError(
            f"tracking.experiment={name[:20]}...: has {len(name)} characters, and MLflow takes no "
            f"experiment whose name has more than {_LONGEST_NAME}. Give a shorter one."
        )


def _check_sweep_name(name: str | None) -> None:
    if name and ("/" in name or name.startswith(".")):
        raise ConfigError(
            f"sweep.name={name}: it names a folder in outputs/sweeps; no / and no dot at its start."
        )


def _check_strategy(trainer: Mapping[str, Any]) -> None:
    strategy, devices = trainer["strategy"], trainer["devices"]
    known = ["auto", *StrategyRegistry.available_strategies()]
    if strategy not in known:
        raise ConfigError(f"trainer.strategy={strategy} is unknown. {suggest(strategy, known)}")
    if strategy not in STRATEGIES:
        advice = "ddp" if devices > 1 else "auto"
        raise ConfigError(
            f"trainer.strategy={strategy} does not train on trainer.devices={devices} here. "
            f"Use trainer.strategy={advice}. Known: {', '.join(STRATEGIES)}."
        )


def _check_device(trainer: Mapping[str, Any]) -> None:
    kind = trainer["accelerator"]
    kinds = {"gpu": ("cuda", "mps"), "auto": ("cpu",)}.get(kind, (kind,))
    if not any(map(_is_available, kinds)):
        raise ConfigError(
            f"trainer.accelerator={kind}: torch finds no such device on this machine. "
            "Use trainer.accelerator=cpu, or auto."
        )
    _check_devices(trainer)


def _check_devices(trainer: Mapping[str, Any]) -> None:
    kind, devices = trainer["accelerator"], trainer["devices"]
    if devices == 1:
        return
    if kind == "tpu":
        raise ConfigError("trainer.devices: more than one tpu is not supported; use 1, or GPUs.")
    found = _count(kind)
    if kind != "cpu" and found is not None and devices > found:
        raise ConfigError(
            f"trainer.devices={devices}: torch finds {found} for trainer.accelerator={kind}. "
            f"Ask for at most {found}, or use trainer.accelerator=cpu."
        )


def _count(kind: str) -> int | None:
    if kind in ("auto", "gpu"):
        kind = next((k for k in ("cuda", "mps") if _is_available(k)), "cpu")
    return None if kind == "cpu" else int(AcceleratorRegistry.get(kind).auto_device_count())


def _is_available(accelerator: str) -> bool:
    try:
        return bool(AcceleratorRegistry.get(accelerator).is_available())
    except ModuleNotFoundError:  # a TPU's own package
        return False


def _lookup(values: Mapping[str, Any], key: str) -> Any:
    found: Any = values
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
