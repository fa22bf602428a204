"""How a trial tells the search of itself: one line per report, in a file of its folder."""

import json
from pathlib import Path

REPORTS = "reports.jsonl"


def report(step: int, value: float) -> None:
    """Report how well a running trial does, for the pruner; call it after each validation.

    Args:
        step: how far it has come; a step that was reported before counts once.
        value: of the objective.
    """
    from hydra.core.hydra_config import HydraConfig

    write_report(Path(HydraConfig.get().runtime.output_dir), step, value)


def write_report(folder: Path, step: int, value: float) -> None:
    """Do so for the trial of a folder."""
    with (folder / REPORTS).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, "value": value}) + "\n")


def read_reports(folder: Path) -> dict[int, float]:
    """Read what a trial has reported, by step; a line that is being written is left out."""
    try:
        text = (folder / REPORTS).read_text(encoding="utf-8")
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
