"""Claim: the named studies learn what they are named for, within minutes on two cores.

adding_100: an LSTM below 0.02 mean squared error at T=100 within 3000 steps.
char_lm: an LSTM below 2.6 bits per character within 3 minutes.
digits: a GRU above 93 % test accuracy, row by row.
length_generalisation: a GRU trained at T=50, tested at lengths it never saw.
forecast: a fixed reservoir, its readout in closed form, below a thousandth of the baseline.
counting: strings a^n b^n of n from 31 to 60 after training on n up to 30, the mean of three seeds.
selective_copy: symbols recovered by one, two and three layers of min_gru, the mean of three seeds.
"""

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.machine import keep, table

ASKED = {
    "adding_100": ("val/loss", "below 0.02"),
    "char_lm": ("test/bits_per_character", "below 2.6"),
    "digits": ("test/accuracy", "above 0.93"),
    "length_generalisation": ("test/loss_T200", "no bound; 0.164 is the baseline"),
    "forecast": ("test/loss_relative", "below 0.001"),
    "counting": ("test/accuracy_T60", "no bound; no n of these strings was trained"),
    "selective_copy": ("test/accuracy", "no bound; guessing gets 0.25"),
}
COMPARED = {"counting": "cell.name", "selective_copy": "model.layers"}
"""What the jobs of a sweep differ in, beside their seeds."""

Summary = dict[str, Any]


def run(experiment: str) -> list[Summary]:
    """Run a study, a sweep with three seeds, in a folder of its own."""
    command = [sys.executable, "-m", "rnnexp", "train", f"experiment={experiment}"]
    command += ["trainer.progress=none", *(["seed=0,1,2"] if experiment in COMPARED else [])]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(command, cwd=folder, check=True)
        files = Path(folder).glob("outputs/*/*/summary.json")
        files = [*files, *Path(folder).glob("outputs/sweeps/*/*/summary.json")]
        return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def rows_of(experiment: str) -> list[list[str]]:
    """Write a row for each value of what is compared."""
    key, asked = ASKED[experiment]
    compared, found = COMPARED.get(experiment), defaultdict[str, list[Summary]](list)
    for summary in run(experiment):
        found[f", {compared}={summary['config'][compared]}" if compared else ""].append(summary)
    return [
        [
            f"`experiment={experiment}`{words}",
            key,
            f"{mean(s['metrics'][key] for s in runs):.4g}",
            asked,
            runs[0]["config"]["trainer.max_steps"],
            f"{mean(s['seconds'] for s in runs):.0f} s",
        ]
        for words, runs in sorted(found.items())
    ]


def main() -> None:
    rows = [row for experiment in ASKED for row in rows_of(experiment)]
    keep("learning", table(["study", "figure", "measured", "asked", "steps", "time"], rows))


if __name__ == "__main__":
    main()
