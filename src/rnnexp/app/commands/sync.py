"""``rnnexp sync``: deliver to MLflow what an interrupted run left behind."""

import argparse
from pathlib import Path

from rnnexp.errors import ConfigError
from rnnexp.tracking import sync


def main(command: str, arguments: list[str]) -> int:
    """Deliver every run at or below the folders given, ``outputs`` by default."""
    parser = argparse.ArgumentParser(prog=f"rnnexp {command}", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("outputs")])
    parser.add_argument("--uri", help="deliver to this store instead of the run's own")
    args = parser.parse_args(arguments)
    runs = sorted({f.parent for root in args.folders for f in root.rglob("journal.jsonl")})
    if not runs:
        raise ConfigError(f"No run in {', '.join(map(str, args.folders))}.")
    for folder in runs:
        print(f"{folder}: {sync(folder, args.uri)}")
    return 0
