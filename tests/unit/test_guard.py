"""What a file changes in torch for the whole process is put back, and told."""

import signal
from pathlib import Path

import pytest
import torch

from rnnexp.discovery import load_file
from rnnexp.errors import PluginError
from rnnexp.guard import Pressed, guarded
from rnnexp.registry import Registry

CHANGES = {
    "torch.set_default_dtype(torch.float64)": "default dtype from torch.float32 to torch.float64",
    "torch.set_default_device('meta')": "default device from cpu to meta",
    "torch.set_grad_enabled(False)": "grad mode from True to False",
    "torch.use_deterministic_algorithms(True)": "deterministic mode from 0 to 2",
    "torch.set_num_threads(2)": "number of threads from 1 to 2",
}


def _state() -> tuple[object, ...]:
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    mode = (torch.is_grad_enabled(), torch.get_deterministic_debug_mode())
    return dtype, device, mode, torch.get_num_threads()


@pytest.mark.parametrize("last", ["", "1 / 0"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_torch_is_a_failure(
    change: str, last: str, registry: Registry, tmp_path: Path
) -> None:
    before = _state()
    file = tmp_path / "changes.py"
    file.write_text(f"import torch\n{change}\n{last}\n", encoding="utf-8")
    load_file(file)
    assert _state() == before
    (failure,) = registry.failures
    assert failure.file == str(file)
    assert (CHANGES[change] if not last else "ZeroDivisionError") in failure.error


@pytest.mark.parametrize("last", ["", "1 / 0"])
def test_so_is_one_that_changes_the_working_folder(
    last: str, registry: Registry, workdir: Path
) -> None:
    elsewhere = workdir / "elsewhere"
    elsewhere.mkdir()
    file = workdir / "moves.py"
    file.write_text(f"import os\nos.chdir({str(elsewhere)!r})\n{last}\n", encoding="utf-8")
    load_file(file)
    assert Path.cwd() == workdir
    (failure,) = registry.failures
    told = f"the working folder of all that runs beside it, from {workdir} to {elsewhere}"
    assert (told if not last else "ZeroDivisionError") in failure.error


def test_the_usual_device_is_not_set_anew() -> None:
    with pytest.raises(PluginError), guarded("x"):
        torch.set_default_device("meta")
    assert torch.utils._device.CURRENT_DEVICE is None


def test_a_file_may_put_back_what_it_changes() -> None:
    with guarded("x"):
        torch.set_default_dtype(torch.float64)
        torch.set_default_dtype(torch.float32)


def test_own_interrupt_and_ctrl_c_are_told_apart(ctrl_c: None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as own, guarded("x"):
        raise KeyboardInterrupt
    assert not isinstance(own.value, Pressed)
    with pytest.raises(Pressed, match="stopped at the import of x"), guarded("x"):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is handler
