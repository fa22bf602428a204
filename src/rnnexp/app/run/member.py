"""Take part in a run that another leads: ``python -m rnnexp.app.run.member FOLDER RANK``."""

import os
import sys
import threading
import traceback
from pathlib import Path

import torch

from rnnexp.app.config.sources import load_as_recorded
from rnnexp.app.config.validate import validate
from rnnexp.app.run.fit import fit, test_best
from rnnexp.app.run.team import Orders
from rnnexp.errors import EXIT_FAILED
from rnnexp.training.interrupt import DeafToSignals, Stopped
from rnnexp.training.team import Place


def take_part(folder: Path, rank: int) -> int:
    """Train and test as the first process of the run does, without a record.

    Args:
        folder: the run's.
        rank: the number of this process.

    Returns:
        The exit code.
    """
    orders = Orders.read(folder)
    load_as_recorded(folder, orders.values)  # the very sources that the first process has kept
    plan = validate(orders.values)
    torch.set_num_threads(orders.threads)
    place = Place(rank, orders.size, Path(orders.meeting))
    stop = DeafToSignals()
    checkpoint = Path(orders.checkpoint) if orders.checkpoint else None
    try:
        with stop.listening():
            test_best(fit(plan, folder, None, stop, checkpoint, place), folder)
    except Stopped as error:
        return error.exit_code
    return 0


def end_with_the_first() -> None:
    """End this process when the one that started it is gone."""

    def wait() -> None:
        os.read(0, 1)
        os._exit(EXIT_FAILED)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def main(folder: str, rank: str) -> int:
    """Take part, and print what goes wrong."""
    end_with_the_first()
    try:
        return take_part(Path(folder), int(rank))
    except (Exception, SystemExit):
        traceback.print_exc()
        return EXIT_FAILED


if __name__ == "__main__":
    code = main(sys.argv[1], sys.argv[2])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
