"""What a figure was measured on, and where it is kept."""

import platform
from importlib.metadata import version
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()


def facts() -> str:
    versions = f"Python {platform.python_version()}, torch {version('torch')}"
    return f"{processor()}; {platform.system()}; {versions}; {torch.get_num_threads()} threads"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def keep(name: str, text: str) -> None:
    """Print a result, and write it to ``results/NAME.md`` with the machine's facts."""
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(f"{text}\n\n{facts()}\n", encoding="utf-8")
