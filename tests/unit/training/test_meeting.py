"""Where the processes of a run meet."""

from pathlib import Path

import pytest


@pytest.mark.slow
def test_processes_meet_in_a_folder_that_the_locale_cannot_name(python, tmp_path: Path) -> None:
    (tmp_path / "nö").mkdir()
    code = (
        "import sys, torch; from pathlib import Path\n"
        "from rnnexp.training.team import Place, TeamStrategy\n"
        "ddp = TeamStrategy(Place(0, 1, Path(sys.argv[1])), process_group_backend='gloo')\n"
        "ddp.set_world_ranks = lambda: None\n"
        "ddp.parallel_devices = [torch.device('cpu')]\n"
        "ddp.setup_distributed()\n"
        "assert torch.distributed.is_initialized()\n"
    )
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = python("-c", code, "nö/meeting", cwd=tmp_path, **ascii_only)
    assert done.code == 0, done.err
