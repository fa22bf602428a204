"""A run's task comes back, and makes of raw data what its network reads, as the docs say."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from rnnexp import load_network, load_task
from rnnexp.errors import ConfigError
from rnnexp.files import RUN
from rnnexp.registry import Registry
from rnnexp.tracking.files import write_json

from .test_load import WORDS, train

PAGE = Path(__file__).resolve().parents[4] / "docs" / "concepts.md"
COMMON = [word for word in WORDS if not word.startswith("task.")] + ["cell=elman"]
ROWS = np.stack([np.sin(np.arange(400) / 5) * 3 + 700, np.cos(np.arange(400) / 9)], 1)


def example_for(name: str) -> tuple[str, str]:
    """Find an example of the docs by a name that it sets, and the run's id in it."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    [block] = [block for block in blocks if f"\n{name} = " in block]
    return block, re.findall(r'load_task\("(\w+)"\)', block)[0]


def ran(block: str) -> dict:
    names: dict = {}
    exec(block, names)
    return names


def named(folder: Path, run_id: str) -> Path:
    write_json(folder / RUN, {"run_id": run_id + "0" * (32 - len(run_id)), "key": "k"})
    return folder


def test_from_rows_to_a_forecast_in_their_units(workdir: Path, registry: Registry) -> None:
    days = [f"day {i},{a!r},{b!r}" for i, (a, b) in enumerate(ROWS.tolist())]
    text = "\n".join(["day,pressure,wind", *days])
    for name in ("weather.csv", "latest.csv"):
        Path(name).write_text(text)
    block, run_id = example_for("forecast")
    folder = named(
        train("task=series", "task.path=weather.csv", "task.length=8", common=COMMON), run_id
    )
    found = ran(block)
    network, forecast = load_network(folder), found["forecast"]
    assert forecast.shape == (24, 2)
    mean, deviation = ROWS[:320].mean(0), ROWS[:320].std(0)
    with torch.no_grad():
        scaled_TBI = torch.tensor((ROWS - mean) / deviation, dtype=torch.float32)[:, None]
        outputs, state = network(scaled_TBI)
        second, _ = network(outputs[-1:], state)
    wanted = torch.cat([outputs[-1], second[-1]]).double().numpy() * deviation + mean
    np.testing.assert_allclose(forecast[:2], wanted, rtol=1e-5)
    assert 650 < float(forecast[0, 0]) < 750
    Path("weather.csv").write_text(text.replace("day 5,", "day 5,1"))
    with pytest.raises(ConfigError, match=r"has changed since outputs.run read it: series\.sha256"):
        load_task(folder)
    Path("weather.csv").unlink()
    with pytest.raises(ConfigError, match=r"weather\.csv: cannot be read"):
        load_task(folder)


def test_from_sequences_to_the_names_of_their_classes(workdir: Path, registry: Registry) -> None:
    rng = np.random.default_rng(0)
    lines = [
        ",".join([("calm", "storm")[i % 2], *map(str, rng.normal(i % 2 * 9, 1, 2 + i % 3))])
        for i in range(60)
    ]
    Path("data.csv").write_text("kind,a,b,c,d\n" + "\n".join(lines))
    block, run_id = example_for("names")
    words = ["task=labelled", "task.path=data.csv", "trainer.max_steps=40", "optimizer.lr=0.05"]
    folder = named(train(*words, common=COMMON), run_id)
    assert ran(block)["names"] == ["calm", "calm"]
    network, task = load_network(folder), load_task(folder)
    with torch.no_grad():
        assert network(task.encode([[8.5, 9.5, 9.0]]))[0].argmax(-1).tolist() == [1]
