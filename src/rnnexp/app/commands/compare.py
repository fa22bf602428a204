"""``rnnexp compare``: finished runs side by side."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rnnexp.app.commands.arguments import PICTURES, parser_of, picture, sheet
from rnnexp.errors import ConfigError
from rnnexp.files import OUTPUTS
from rnnexp.report.columns import print_columns
from rnnexp.report.load import load_summaries, runs_without_end
from rnnexp.report.repeats import once_each, with_sources
from rnnexp.report.seeds import columns_over_seeds
from rnnexp.report.sheet import write_over_seeds, write_runs
from rnnexp.report.table import columns_of, in_order
from rnnexp.tracking import find_run
from rnnexp.tracking.outcome import Outcome

_FEW = 5
"""So many folders are named of runs that are left out."""
_WHICH = (
    "a folder of runs, a run's MLflow id or its first characters, or latest: the one written to "
    "last"
)


def main(command: str, arguments: list[str]) -> int:
    """Print a table of the runs that are named, of all in ``outputs`` by default."""
    args = _parsed(command, arguments)
    folders = [_folder_of(run) for run in args.runs] or [OUTPUTS]
    runs = in_order(with_sources(load_summaries(*folders)))
    endless = runs_without_end(*folders)
    if endless:
        print(f"rnnexp: {_without_end(endless)}", file=sys.stderr)
    if not runs:
        places = ", ".join(map(str, folders))
        raise ConfigError(f"No finished run in {places}. Start one: rnnexp train")
    jobs = once_each(runs)
    if len(jobs) < len(runs) and (args.seeds or args.plot):
        print(f"rnnexp: {_left_out(runs, jobs)}", file=sys.stderr)
    print_columns(columns_over_seeds(jobs) if args.seeds else columns_of(runs))
    _write(args, runs, jobs)
    return 0


def _write(args: argparse.Namespace, runs: Sequence[Outcome], jobs: Sequence[Outcome]) -> None:
    if args.csv is not None:
        if args.seeds:
            write_over_seeds(jobs, args.csv)
        else:
            write_runs(runs, args.csv)
        print(f"Written: {args.csv}")
    if args.plot is not None:
        from rnnexp.report.curves import draw_curves

        draw_curves(jobs, args.plot)
        print(f"Drawn: {args.plot}")


def _parsed(command: str, arguments: list[str]) -> argparse.Namespace:
    parser = parser_of(command, __doc__)
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"{_WHICH}; default: {OUTPUTS}")
    parser.add_argument(
        "--seeds", action="store_true", help="a row per setting: mean and deviation over seeds"
    )
    parser.add_argument(
        "--plot", type=picture, metavar="FILE", help=f"draw their curves too: {', '.join(PICTURES)}"
    )
    parser.add_argument(
        "--csv", type=sheet, metavar="FILE.csv", help="write the table too, in full precision"
    )
    return parser.parse_args(arguments)


def _folder_of(run: str) -> Path:
    folder = Path(run) if Path(run).is_dir() else find_run(run, OUTPUTS)
    if folder is None:
        raise ConfigError(
            f"No run '{run}': no such folder, and none of this id below {OUTPUTS.resolve()}. "
            f"Give {_WHICH}."
        )
    return folder


def _without_end(folders: Sequence[Path]) -> str:
    one = len(folders) == 1
    subject = "a run is" if one else f"{len(folders)} runs are"
    return (
        f"{subject} left out that {'has' if one else 'have'} no ending: at work still, or killed. "
        f"{', '.join(map(str, folders[:_FEW]))}{', ...' * (len(folders) > _FEW)}"
    )


def _left_out(runs: Sequence[Outcome], jobs: Sequence[Outcome]) -> str:
    kept = {run.folder for run in jobs}
    others = [run.folder for run in runs if run.folder not in kept]
    many = f"{len(others)} runs repeat others" if len(others) > 1 else "a run repeats another"
    return (
        f"{many} with the same config, sources and seed, which says nothing new of a setting; "
        f"over seeds each counts once. Left out: {', '.join(others)}"
    )
