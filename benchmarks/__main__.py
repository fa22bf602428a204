"""Run benchmarks by name, all by default: each prints a table and keeps it in ``results/``."""

import importlib
import sys
from pathlib import Path

KEPT_OUT = ("__init__", "__main__", "machine", "compiled")


def main(names: list[str]) -> int:
    known = sorted(f.stem for f in Path(__file__).parent.glob("*.py") if f.stem not in KEPT_OUT)
    wrong = [name for name in names if name not in known]
    if wrong:
        print(f"No benchmark is called {', '.join(wrong)}. Known: {', '.join(known)}.")
        return 2
    for name in names or known:
        importlib.import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
