"""How a trial tells the search of itself: one line per report, in a file of its folder."""

import json
from pathlib import Path

REPORTS = "reports.jsonl"
"""Of a trial whose folder is its own."""


def report(step: int, value: float) -> None:
    """Report how well a running trial does, for the pruner; call it after each validation.

    Args:
        step: how far it has come; a step that was reported before counts once.
        value: of the objective.
    """
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    hydra = HydraConfig.get()
    alone = OmegaConf.is_missing(hydra.job, "num")  # outside of a sweep
    name = REPORTS if alone else reports_of(hydra.job.num)
    write_report(Path(hydra.runtime.output_dir), step, value, name)


def reports_of(number: int) -> str:
    """Name the file of a trial whose folder others may share."""
    return f"reports_{number}.jsonl"


def write_report(folder: Path, step: int, value: float, name: str = REPORTS) -> None:
    """Do so for the trial of a folder."""
    with (folder / name).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, "value": value}) + "\n")


def read_reports(folder: Path, name: str = REPORTS) -> dict[int, float]:
    """Read what a trial has reported, by step; a line that is being written is left out."""
    try:
        text = (folder / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    found: dict[int, float] = {}
    for line in text.split("\n")[:-1]:
        try:
            record = json.loads(line)
            found.setdefault(int(record["step"]), float(record["value"]))
        except (ValueError, TypeError, KeyError):  # torn by a kill, and continued on
            continue
    return found
