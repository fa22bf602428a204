"""The page and the sheet that ``experiment=zoo`` ends with."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from rnnexp.app.config.build import build_task
from rnnexp.app.config.catalogue import by_family, costs
from rnnexp.errors import ConfigError
from rnnexp.files import CONFIG
from rnnexp.registry import REGISTRY, Entry
from rnnexp.report.zoo_sheet import LOWEST, Specimen, draw_sheet, specimen_of
from rnnexp.tracking.outcome import Outcome

_HEAD = """\
# The zoo

Every cell that runs on the adding problem. `scripts/zoo` makes this page: it runs
`rnnexp train experiment=zoo` and copies what the sweep ends with. Counts are for 64 units on 64
inputs; *flow* is log10 of ||dL/dh_1|| / ||dL/dh_T|| over {length} steps at initialisation with
{units} units: 0 keeps, below it vanishes, above it explodes. Where the output is only read off a
memory, h is that memory; where the last target reads h_T not at all, T is the step before. No
figure is lower than {lowest:.1f}: that stands for all that is less, and for no gradient at all.
*adding* is the validation error of the adding problem over {length} steps after {steps} steps of
training. On the same sequences a guess, always answering 1, has {baseline:.4f}: a figure within a
few per cent of that is a guess's. One learning rate for all, no tuning: the figures tell cells
apart, they rank none.

![Gradient flow at initialisation and learning curve of every cell](figures/zoo.png)
"""
_COLUMNS = "| cell | what it is | parameters | multiply-adds | flow | adding | source |"
_RULE = "| --- | --- | ---: | ---: | ---: | ---: | --- |"


def draw_zoo(runs: Sequence[Outcome], folder: Path) -> list[Path]:
    """Draw the sheet, and write the page, of a sweep over cells.

    Args:
        runs: finished runs, one a cell.
        folder: of the sweep.

    Returns:
        Sheet, its numbers, page.

    Raises:
        ConfigError: the task names no baseline.
    """
    by_cell = {run.config["cell.name"]: run for run in runs}
    entries = [e for e in REGISTRY.all("cell") if e.name in by_cell]
    specimens = [
        specimen_of(entry.name, family, Path(by_cell[entry.name].folder))
        for family, members in by_family(entries)
        for entry in members
    ]
    config, baseline = runs[0].config, _guess_in(Path(runs[0].folder))
    page = folder / "zoo.md"
    page.write_text("\n".join(_page(entries, specimens, config, baseline)), encoding="utf-8")
    return [*draw_sheet(specimens, baseline, folder / "zoo.png"), page]


def _guess_in(folder: Path) -> float:
    # All runs are judged on the same sequences, which are few: a guess costs there what it costs.
    values = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    baseline = build_task(values).baseline_of("val")
    if not baseline:
        raise ConfigError(f"task={values['task']['name']} names no baseline to draw cells beside.")
    return baseline


def _page(
    entries: list[Entry], specimens: list[Specimen], config: Mapping[str, str], baseline: float
) -> Iterator[str]:
    yield _HEAD.format(
        length=config["task.length"],
        units=config["cell.hidden_size"],
        steps=config["trainer.max_steps"],
        baseline=baseline,
        lowest=LOWEST,
    )
    found = {specimen.name: specimen for specimen in specimens}
    for family, members in by_family(entries):
        yield f"## {family}\n\n{_COLUMNS}\n{_RULE}"
        yield from (_row(entry, found[entry.name]) for entry in members)
        yield ""


def _row(entry: Entry, specimen: Specimen) -> str:
    parameters, multiply_adds, _ = costs(entry)
    flow = f"{specimen.flow_T[0]:.1f}" if specimen.flow_T else "-"
    error = f"{specimen.losses[-1][1]:.4f}" if specimen.losses else "-"
    cells = (entry.name, _cell(entry.summary), parameters, multiply_adds, flow, error)
    return f"| {' | '.join(cells)} | {_cell(entry.source)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
