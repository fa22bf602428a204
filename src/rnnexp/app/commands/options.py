"""``rnnexp options``: the keys of the config, with default, type and meaning."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from rich.console import Console
from rich.padding import Padding

from hydra_plugins.rnnexp_local_launcher.config import LocalLauncherConf
from hydra_plugins.rnnexp_optuna_sweeper.config import OptunaSweeperConf
from hydra_plugins.rnnexp_ray_launcher.config import RayLauncherConf
from hydra_plugins.rnnexp_submitit_launcher.config import SubmititSlurmConf
from rnnexp.app.commands.arguments import parser_of, plain
from rnnexp.app.commands.listing import option_grid
from rnnexp.app.config.compose import CONFIG_NAME, prepare
from rnnexp.app.config.schema import GROUPS, RootOptions
from rnnexp.app.config.targets import arguments_of_target
from rnnexp.errors import ConfigError, unknown
from rnnexp.options import Option, options_of
from rnnexp.paths import conf_dir

TOP = "top"
"""What the keys at the top of the config are asked for by: they belong to no group."""
_CLASSES = {TOP: RootOptions, **GROUPS}
_OF_SWEEPS: dict[str, dict[str, type]] = {
    "hydra.launcher": {
        "local": LocalLauncherConf,
        "ray": RayLauncherConf,
        "submitit_slurm": SubmititSlurmConf,
    },
    "hydra.sweeper": {"optuna": OptunaSweeperConf},
}
"""Keys that only a sweep has: they depend on who is chosen, and are shown where asked for."""
_ELSEWHERE = {
    "cell": "Its keys are the options of the cell: rnnexp cells NAME",
    "task": "Its keys are the options of the task: rnnexp tasks NAME",
    "callbacks": "Its keys are the options of the callbacks: rnnexp callbacks NAME",
}
_OF_TORCH = {
    "optimizer": "The class of torch.optim that moves the weights.",
    "scheduler": "How the learning rate moves from step to step.",
}
"""Groups whose keys are the arguments of the class that a preset names; a plus adds another one."""
_GROUPS = [*_CLASSES, *_OF_TORCH, *_OF_SWEEPS]


def main(command: str, arguments: list[str]) -> int:
    """Describe the keys of the groups named, of all where none is."""
    parser = parser_of(command, __doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(_GROUPS))
    groups = parser.parse_args(arguments).groups or [*_CLASSES, *_OF_TORCH]
    for group in groups:
        _check(group)
    console, defaults = Console(), _defaults()
    for group in groups:
        if group in _OF_SWEEPS:
            _describe_choices(group, console)
        elif group in _OF_TORCH:
            _describe_presets(group, console)
        else:
            _describe(group, defaults, console)
    return 0


def _check(group: str) -> None:
    if group in _ELSEWHERE:
        raise ConfigError(f"{group}: {_ELSEWHERE[group]}.")
    if group not in _GROUPS:
        raise unknown("group", group, [*_GROUPS, *_ELSEWHERE])


def _defaults() -> Mapping[str, Any]:
    # As composed: a preset such as clip=norm is the default, whatever the schema begins with.
    prepare([])
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        values: Any = OmegaConf.to_container(compose(CONFIG_NAME))
    return values


def _describe(group: str, defaults: Mapping[str, Any], console: Console) -> None:
    _head(group, _summary(_CLASSES[group]), console)
    _name_presets(group, console)
    values = defaults if group == TOP else defaults[group]
    grid = option_grid("" if group == TOP else group, list(_with_defaults(group, values)))
    console.print(Padding(grid, (0, 0, 1, 2)))


def _presets(group: str) -> list[Path]:
    return sorted((conf_dir() / group).glob("*.yaml"))


def _name_presets(group: str, console: Console) -> None:
    names = [file.stem for file in _presets(group)]
    if len(names) > 1:
        console.print(f"  presets: {group}={'|'.join(names)}", highlight=False)


def _describe_presets(group: str, console: Console) -> None:
    _head(group, _OF_TORCH[group], console)
    _name_presets(group, console)
    console.print()
    for file in _presets(group):
        node: Any = OmegaConf.to_container(OmegaConf.load(file))
        path = node.pop("_target_")
        comment = re.match(r"# (.+)", file.read_text(encoding="utf-8"))
        words = [comment[1]] if comment else []
        _head(f"{group}={file.stem}", " ".join([*words, *([f"({path})"] if path else [])]), console)
        if path:
            _show_arguments(group, arguments_of_target(path, group), node, console)
        console.print()


def _show_arguments(
    group: str, options: Iterable[Option], values: Mapping[str, Any], console: Console
) -> None:
    known = {option.name: option for option in options}
    preset = [replace(known[name], default=value) for name, value in values.items()]
    others = [option for name, option in known.items() if name not in values]
    for prefix, shown in ((group, preset), (f"+{group}", others)):
        if shown:
            console.print(Padding(option_grid(prefix, shown), (0, 0, 0, 2)))


def _describe_choices(group: str, console: Console) -> None:
    for name, cls in _OF_SWEEPS[group].items():
        _head(f"{group}, with {group.replace('.', '/')}={name}", _summary(cls), console)
        usual = cls()
        known = (o for o in options_of(cls) if o.name != "_target_")
        grid = option_grid(group, [replace(o, default=getattr(usual, o.name)) for o in known])
        console.print(Padding(grid, (0, 0, 1, 2)))


def _summary(cls: type) -> str:
    return (cls.__doc__ or "").partition("\n")[0]


def _head(title: str, summary: str, console: Console) -> None:
    console.print(f"[bold]{title}[/bold]  {plain(summary)}", highlight=False)


def _with_defaults(group: str, values: Mapping[str, Any]) -> Iterator[Option]:
    return (replace(o, default=values[o.name]) for o in options_of(_CLASSES[group]))
