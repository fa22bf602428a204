"""The process that delivers stands back where all cores train."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

AUTOGROUP = Path("/proc/self/autogroup")
SAY = """
import os, pathlib
from rnnexp.tracking.sink import let_others_go_first
let_others_go_first()
print(os.nice(0), pathlib.Path("/proc/self/autogroup").read_text())
"""


@pytest.mark.skipif(not AUTOGROUP.is_file(), reason="sessions are not weighed here")
@pytest.mark.parametrize(("own_session", "weight"), [(True, "nice 10"), (False, "nice 0")])
def test_it_lowers_its_own_session_and_no_other(own_session: bool, weight: str) -> None:
    # Outside: a session that may be lowered, were the process to lower another than its own.
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SAY!r}], check=True, "
    outer += f"start_new_session={own_session})"
    command = [sys.executable, "-c", outer]
    said = subprocess.run(
        command, check=True, capture_output=True, text=True, start_new_session=True
    ).stdout
    niceness, _, session = said.partition(" ")
    assert int(niceness) == os.nice(0) + 5
    assert session.strip().endswith(weight)
