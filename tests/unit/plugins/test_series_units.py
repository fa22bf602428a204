"""Rows in units of a table: what the network reads of them, and its outputs in such units."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rnnexp.errors import ConfigError

from .test_series import TABLE, written


@pytest.mark.parametrize("predicted", [(), ("drift",)])
def test_rows_are_scaled_as_in_training_and_outputs_come_back_in_their_units(
    plugins, tmp_path: Path, predicted: tuple[str, ...]
) -> None:
    path = written(tmp_path, TABLE, ((325, 0), (5, 1)))
    task = plugins.get("task", "series").cls(
        path=path, predicted=predicted, length=10, batch_size=4
    )
    rows = TABLE[319:329].copy()
    rows[6, 0] = np.nan
    inputs_TBI = task.scale(rows)
    assert torch.equal(inputs_TBI, task.batch("val", 1).inputs_TBI)
    assert torch.equal(task.scale(np.stack([rows, rows], 1))[:, 1:], inputs_TBI)
    places = [task.names.index(name) for name in task.predicted]
    known = TABLE[:6, places]
    back = task.unscale(task.scale(TABLE[:6])[..., places])
    np.testing.assert_allclose(back[:, 0], known, rtol=1e-6)
    mean, deviation = (task.facts[f"series.{name}"].split(", ") for name in ("mean", "deviation"))
    np.testing.assert_allclose(np.array(mean, float)[0], TABLE[:320, 0].mean(), rtol=1e-8)
    np.testing.assert_allclose(np.array(deviation, float)[0], TABLE[:320, 0].std(), rtol=1e-8)
    with pytest.raises(ConfigError, match=r"of shape \(T, 2\) or .* wave, drift; got \(6, 1\)"):
        task.scale(TABLE[:6, :1])
