"""What Hydra's texts say, for errors in this project's words."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

from rnnexp.app.config.command_line import key_value
from rnnexp.app.config.nearby import not_loaded
from rnnexp.errors import ConfigError, RnnexpError, UnknownNameError, nearest, suggest
from rnnexp.options import REQUIRED, Option, null_refused, written
from rnnexp.paths import conf_dir
from rnnexp.registry import REGISTRY, Kind

Compose = Callable[[list[str], bool], DictConfig]
"""Composes overrides; with Hydra's own section or without."""
_ALIKE = 0.8
"""How alike the names of keys in different groups must be for a guess."""
_MOST_PLACES = 3
_OF_FILES = {
    ".txt": ("Characters of a text", "char_lm"),
    ".csv": ("Measurements", "series"),
    ".npy": ("Measurements", "series"),
    ".npz": ("Classes of sequences", "labelled"),
}
"""Tasks that read a file, by the ends of names; of other ends a file is taken for a text."""


def in_words(error: Exception, overrides: Sequence[str], compose: Compose) -> RnnexpError:
    """Put an error of Hydra's composition into this project's words.

    Args:
        error: what Hydra, or OmegaConf, has raised.
        overrides: as on the command line.
        compose: composes some of them, to see what there is without the one at fault.
    """
    text = str(error)
    choice = re.search(r"Could not find '([^']+/[^'/]*)'", text)
    if choice:
        return _unknown_choice(*_chosen(choice[1], overrides), text)
    sweep = _of_a_sweep(text)
    if sweep:
        return sweep
    cause = error.__cause__ or error
    if isinstance(cause, (ConfigAttributeError, ConfigKeyError)) and cause.full_key:
        return _key_refused(cause.full_key, overrides, compose)
    cause = error.__cause__ or error.__context__ or error
    return _bad_value(cause, text, overrides, compose)


def _key_refused(key: str, overrides: Sequence[str], compose: Compose) -> RnnexpError:
    if key.startswith("callbacks."):
        return _unknown_callback_key(key)
    parent = key.rpartition(".")[0]
    others = [o for o in overrides if not _names(o, key)]
    if len(others) == len(overrides):
        return ConfigError(f"Unknown key '{key}'.")
    node: Any = compose(others, key.startswith("hydra."))
    everything = OmegaConf.to_container(node)
    for part in parent.split(".") if parent else []:
        node = node.get(part) if isinstance(node, DictConfig) else None
    if not isinstance(node, DictConfig):
        return _key_of_no_mapping(key, node)
    known = [str(option) for option in node if not str(option).startswith("_")]
    return unknown_key(key, known, everything)


def _names(override: str, key: str) -> bool:
    given, equals, value = override.lstrip("+~").partition("=")
    # An override of a whole group, such as clip={max:1} or ~clip, names the keys below it too; a
    # choice of one, such as clip=norm, says which keys there are.
    whole = not equals or value.startswith("{")
    return given.startswith(key) or (whole and key.startswith(f"{given}."))


def _bad_value(
    cause: BaseException, text: str, overrides: Sequence[str], compose: Compose
) -> ConfigError:
    where, file = getattr(cause, "full_key", None), _in_file(text)
    first = str(cause).partition("\n")[0].rstrip(".") or text
    wrong = re.search(r"Value '(.*)' of type '.*' could not be converted to (\w+)", first)
    if where == "callbacks":
        return _callbacks_refused(_given(where, overrides))
    if where and first == f"Key '{where}' not in 'Config'":
        return _unknown_group(where, file)
    if where and wrong:
        return ConfigError(f"{where}: expected {wrong[2].lower()}, got '{wrong[1]}'{file}.")
    if where and ("is not Optional" in first or "Incompatible value 'None'" in first):
        return null_refused(where, _usual(where, overrides, compose))
    if where and "is not a ListConfig, list or tuple" in first:
        example = f"{where}=[{_given(where, overrides)}]"
        return ConfigError(f"{where}: expected a list, such as {example}.")
    return ConfigError(f"{where}: {first}{file}." if where else text.strip())


def _unknown_group(group: str, file: str) -> ConfigError:
    groups = sorted({f.name for f in conf_dir().iterdir() if f.is_dir()} - {"hydra"})
    return ConfigError(
        f"Unknown key '{group}'{file}. A folder's conf may add choices to {', '.join(groups)}. To "
        "set keys of several groups at once, begin a file in conf/experiment with the line "
        "'# @package _global_', and choose it by experiment=NAME."
    )


def _in_file(text: str) -> str:
    # The config whose content Hydra could not take; of such an error it gives no cause, for it
    # raises its own while it handles it.
    found = re.match(r"In '([^']+)':", text)
    return f", in the config {found[1]}" if found else ""


def _given(key: str, overrides: Sequence[str]) -> str:
    # The text that the last override of a key gives it.
    given = [o.partition("=")[2] for o in overrides if o.lstrip("+").startswith(f"{key}=")]
    return "".join(given[-1:])


def _usual(key: str, overrides: Sequence[str], compose: Compose) -> object:
    # What the key holds without the override that names it; None where a file gives the null.
    others = [o for o in overrides if not _names(o, key)]
    if len(others) == len(overrides):
        return None
    return OmegaConf.select(compose(others, key.startswith("hydra.")), key)


def _choices(group: str, text: str) -> list[str]:
    """List the choices of a group that an error of Hydra's names."""
    listed = re.search(rf"Available options in '{group}':\n(.*?)(?=\n\S|\Z)", text, re.S)
    lines = listed[1].splitlines() if listed else []
    return [line.strip() for line in lines if line.strip()]


def _of_a_sweep(text: str) -> ConfigError | None:
    """Say what to do about several values without ``-m``; None where the text is of another."""
    sweep = re.search(r"(?:Ambiguous value for argument|Sweep parameters) '(.+?)=(.*)'", text)
    if sweep is None:
        return None
    return ConfigError(
        f"{sweep[1]}={sweep[2]}: several values are a sweep. Begin with -m, as in rnnexp train "
        f"-m '{sweep[1]}={sweep[2]}'; one value that is a list stands in brackets."
    )


def _chosen(place: str, overrides: Sequence[str]) -> tuple[str, str]:
    """Tell the group from the name in what Hydra has not found: cell/gruu, task//home/me/a.txt."""
    for word in overrides:
        group, _, name = word.lstrip("+").partition("=")
        name = name.strip("'\"")
        if f"{group}/{name}" == place:
            return group, name
    group, _, name = place.rpartition("/")
    return group, name


def _unknown_choice(group: str, name: str, text: str) -> RnnexpError:
    """Make the error for a choice that a group does not have."""
    if not name:
        return ConfigError(f"{group}= names nothing. {suggest('', _choices(group, text))}")
    if group in ("cell", "task"):
        return _unknown_plugin("cell" if group == "cell" else "task", name)
    return ConfigError(f"Unknown {group}='{name}'. {suggest(name, _choices(group, text))}")


def unknown_key(key: str, known: Collection[str], config: object) -> ConfigError:
    """Make the error for a key that there is not, with the one that was probably meant.

    Args:
        key: such as lr, or model.hidden_size.
        known: the names beside it.
        config: the whole of which it is no part; its groups are looked through, too.
    """
    name = key.rpartition(".")[2]
    elsewhere = _elsewhere(name, config)
    if elsewhere and ("." not in key or nearest(name, known) is None):
        return ConfigError(f"Unknown key '{key}'. Did you mean {' or '.join(elsewhere)}?")
    if not known:
        return _key_of_empty(key, key.rpartition(".")[0])
    return ConfigError(f"Unknown key '{key}'. {suggest(name, known)}")


def _key_of_empty(key: str, group: str) -> ConfigError:
    presets = sorted(file.stem for file in (conf_dir() / group).glob("*.yaml"))
    others = [f"{group}={preset}" for preset in presets if preset != "none"]
    advice = f" Choose one that has: {', '.join(others)}." if others else ""
    return ConfigError(f"Unknown key '{key}': what is chosen as {group} has no keys.{advice}")


def _elsewhere(name: str, config: object) -> list[str]:
    # By the last part, which people remember: lr for optimizer.lr.
    places = [key for key in _keys(config) if "." in key]
    lasts = {key.rpartition(".")[2].lower() for key in places}
    near = nearest(name, lasts, cutoff=_ALIKE)
    found = [key for key in places if key.rpartition(".")[2].lower() == near]
    return [f"'{key}'" for key in found] if len(found) <= _MOST_PLACES else []


def _keys(config: object, prefix: str = "") -> Iterator[str]:
    for name, value in config.items() if isinstance(config, Mapping) else ():
        if not str(name).startswith("_"):
            yield f"{prefix}{name}"
            yield from _keys(value, f"{prefix}{name}.")


def _unknown_callback_key(key: str) -> RnnexpError:
    """Make the error for a key below ``callbacks``, where nothing stands that was not added."""
    name, _, option = key.removeprefix("callbacks.").partition(".")
    try:
        options = {o.name: o for o in REGISTRY.get("callback", name).options}
    except UnknownNameError as error:
        advice = f"{error} A callback joins a run with a plus: +callbacks.NAME={{}}"
        return not_loaded("callback", name) or UnknownNameError(advice)
    except RnnexpError as error:
        return error
    if option and option not in options:
        return ConfigError(f"Unknown key '{key}'. {suggest(option, options)}")
    value = _example(options[option]) if option else "{}"
    text = f"Unknown key '{key}'. A callback joins a run with a plus: +{key}={value}"
    return ConfigError(text)


def _key_of_no_mapping(key: str, held: object) -> ConfigError:
    """Make the error for a key below one that holds no keys."""
    parent, _, name = key.rpartition(".")
    if held is not None:
        return ConfigError(f"Unknown key '{key}': {parent} is {written(held)} and has no keys.")
    advice = f"Where it takes a mapping, give it whole: {parent}={{{name}:VALUE}}"
    return ConfigError(f"Unknown key '{key}': {parent} has no keys yet. {advice}")


def _callbacks_refused(name: str) -> ConfigError:
    """Make the error for ``callbacks=NAME``, as if it were a group with choices."""
    example = name if ("callback", name) in REGISTRY.entries else "NAME"
    return ConfigError(
        f"callbacks={name}: callbacks join a run one by one, each with its options: "
        f"+callbacks.{example}={{}}. rnnexp callbacks lists them."
    )


def _example(option: Option) -> str:
    return "VALUE" if option.default == REQUIRED else written(option.default)


def _unknown_plugin(kind: Kind, name: str) -> RnnexpError:
    try:
        REGISTRY.get(kind, name)
    except UnknownNameError as error:
        return not_loaded(kind, name) or _own_data(kind, name) or error
    except RnnexpError as error:
        return error
    return ConfigError(f"{kind}={name} has no config.")


def _own_data(kind: Kind, name: str) -> UnknownNameError | None:
    # A file as the task: of those that take one, this one has no other use for it.
    file = Path(name)
    is_data = file.suffix in _OF_FILES or (file.is_file() and file.suffix != ".py")
    what, task = _OF_FILES.get(file.suffix, _OF_FILES[".txt"])
    if kind != "task" or not is_data or ("task", task) not in REGISTRY.entries:
        return None
    return UnknownNameError(
        f"Unknown task '{name}'. {what} of your own are predicted by task={task} "
        f"{key_value('task.path', name)}"
    )
