"""A run that ended with an epoch goes on with the next one, as if it had not ended."""

from pathlib import Path

import pytest
import torch

from rnnexp.app.config.compose import check_jobs, prepare
from rnnexp.app.run.fit import BEST, fit
from rnnexp.training.checkpoints import LAST
from rnnexp.training.interrupt import StopRequest

WORDS = ["task.length=8", "cell.hidden_size=4", "cell=elman", "task.val_batches=1"]
WORDS += ["task.train_batches=4", "trainer.progress=none", "trainer.max_steps=99"]


def trained(folder: Path, checkpoint: Path | None, *words: str) -> tuple[int, list[torch.Tensor]]:
    prepare([])
    plan = check_jobs([*WORDS, *words], multirun=False, config_dir=None)[0].plan
    torch.set_num_threads(1)
    fitted = fit(plan, folder, None, StopRequest(), checkpoint)
    return fitted.trainer.global_step, [p.detach() for p in fitted.module.parameters()]


@pytest.mark.parametrize(
    ("name", "val_every", "accumulate"),
    [(LAST, 3, 1), (BEST, 4, 1), (LAST, 4, 3), (BEST, 3, 3)],
)
def test_it_goes_on_with_the_next_epoch(
    tmp_path: Path, name: str, val_every: int, accumulate: int
) -> None:
    words = [f"trainer.accumulate={accumulate}", f"trainer.val_every={val_every}"]
    words.append("optimizer.lr=1e-3")
    steps, straight = trained(tmp_path / "straight", None, *words, "trainer.max_epochs=3")
    trained(tmp_path / "parts", None, *words, "trainer.max_epochs=1")
    checkpoint = tmp_path / "parts" / "checkpoints" / name
    assert torch.load(checkpoint, weights_only=True)["global_step"] == steps // 3
    folder = tmp_path / ("parts" if name == LAST else "new")
    done, weights = trained(folder, checkpoint, *words, "trainer.max_epochs=3")
    assert done == steps == 3 * -(-4 // accumulate)
    for expected, found in zip(straight, weights, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
