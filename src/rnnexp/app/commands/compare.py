"""``rnnexp compare``: finished runs side by side."""

from pathlib import Path

from rnnexp.app.commands.arguments import parser_of, picture
from rnnexp.errors import ConfigError
from rnnexp.report.columns import print_columns
from rnnexp.report.load import load_summaries
from rnnexp.report.seeds import columns_over_seeds
from rnnexp.report.table import columns_of


def main(command: str, arguments: list[str]) -> int:
    """Print a table of the runs in the folders given, of all in ``outputs`` by default."""
    parser = parser_of(command, __doc__)
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("outputs")])
    parser.add_argument(
        "--seeds", action="store_true", help="a row per setting: mean ± deviation over seeds"
    )
    parser.add_argument("--plot", type=picture, metavar="FILE.png", help="draw their curves too")
    args = parser.parse_args(arguments)
    runs = [run for folder in args.folders for run in load_summaries(folder)]
    if not runs:
        places = ", ".join(map(str, args.folders))
        raise ConfigError(f"No finished run in {places}. Start one: rnnexp train")
    print_columns(columns_over_seeds(runs) if args.seeds else columns_of(runs))
    if args.plot is not None:
        from rnnexp.report.curves import draw_curves

        draw_curves(runs, args.plot)
        print(f"Drawn: {args.plot}")
    return 0
