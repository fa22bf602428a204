"""What a sweep shows on a pseudo-terminal, and what it does with a job that prints too much."""

import errno
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from rnnexp.app.jobs.log import LOG_BYTES

CELL = '''
import time
import torch
from rnnexp.cells import PointwiseCell, register_cell

@register_cell("chatty")
class Chatty(PointwiseCell):
    """Takes its time, and may print a lot."""

    num_gates = 1

    def __init__(self, input_size, *, megabytes: int = 0, **options):
        super().__init__(input_size, **options)
        self.megabytes = megabytes

    def project_input(self, x_BI):
        if self.training:
            time.sleep(0.01)
        while self.megabytes:
            print("y" * (1 << 20), flush=True)
            self.megabytes -= 1
        return super().project_input(x_BI)

    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh((wx_BGH + rh_BGH).squeeze(-2)),)
'''
WORDS = ["plugin_dirs=[mine]", "cell=chatty", "unroll.backend=loop", "task.length=10"]
WORDS += ["trainer.max_steps=25", "trainer.val_every=10", "task.val_batches=2", "sweep.name=mine"]
WORDS += ["task.test_batches=2", "tracking.wait=0", "hydra.launcher.jobs=1"]


def on_a_terminal(command: list[str], folder: Path) -> tuple[int, str]:
    """Run a command whose stderr is a terminal; return its code and what it wrote there."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2] / "src")
    with (folder / "out.txt").open("w") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=theirs)
    os.close(theirs)
    said = b""
    while part := _read(ours):
        said += part
    os.close(ours)
    return process.wait(30), said.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError as error:  # Linux says it so when nobody holds the other side any more
        if error.errno != errno.EIO:
            raise
        return b""


def test_a_sweep_on_a_terminal(workdir: Path, store_uri: str) -> None:
    (workdir / "mine").mkdir()
    (workdir / "mine" / "chatty.py").write_text(CELL)
    command = [sys.executable, "-m", "rnnexp", "train", "-m", "cell.megabytes=0,60", *WORDS]
    code, said = on_a_terminal(command, workdir)
    assert code == 0, said
    assert "mine  0 done  1 running  0 failed  1 left" in said
    assert "mine  1 done  1 running  0 failed  0 left  about " in said
    assert re.search(r"step \d+/25  loss \d", said)
    assert "\x1b[1A" in said, "the display moves: the cursor goes up"
    assert said.rindex("\x1b[?25h") > said.rindex("\x1b[?25l"), "the cursor is shown again"
    assert "[2/2] adding-chatty-clip_norm-s0 cell.megabytes=60  FINISHED in" in said
    sizes = sorted(f.stat().st_size for f in (workdir / "outputs" / "sweeps").rglob("log.txt"))
    assert sizes[0] < 10_000
    assert LOG_BYTES // 4 < sizes[1] <= LOG_BYTES
    tail = max((workdir / "outputs" / "sweeps").rglob("log.txt"), key=lambda f: f.stat().st_size)
    printed = tail.read_text()
    assert "step 25/25" in printed[-500:]
    assert "y" * (1 << 20) in printed, "the display does not break the lines of a job"
