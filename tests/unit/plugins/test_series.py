"""Forecasts of measurements: which rows are read, which are judged, and what they are judged by."""

import csv
import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer

from rnnexp.errors import ConfigError
from rnnexp.recurrence import Feed, RecurrentNetwork
from rnnexp.report.forecast import AHEAD, FREE
from rnnexp.tasks.datamodule import TaskData
from rnnexp.training.module import Recipe, RecurrentModule

from ...quiet import QUIET

SGD = Recipe(partial(torch.optim.SGD, lr=0.1))
ROWS = 400
TIMES = np.arange(ROWS)
TABLE = np.stack([np.sin(TIMES / 5) * 3 + 7, np.cos(TIMES / 9) - TIMES / 100], axis=1)


@pytest.fixture
def series(plugins):
    return plugins.get("task", "series").cls


def written(folder: Path, table: np.ndarray, missing: tuple[tuple[int, int], ...] = ()) -> str:
    shown = [[repr(value) for value in row] for row in table.tolist()]
    for row, column in missing:
        shown[row][column] = ""
    file = folder / "table.csv"
    file.write_text("wave,drift\n" + "".join(",".join(row) + "\n" for row in shown))
    return str(file)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return written(tmp_path, TABLE)


def scaled() -> torch.Tensor:
    trained = TABLE[:320]
    return torch.tensor((TABLE - trained.mean(0)) / trained.std(0), dtype=torch.float32)


def judged(task, split: str) -> list[torch.Tensor]:
    batches = [task.batch(split, index) for index in range(task.num_batches(split))]
    assert [batch.fresh for batch in batches] == [True] + [False] * (len(batches) - 1)
    assert [batch.spare for batch in batches] == [True] + [False] * (len(batches) - 1)
    targets = torch.cat([batch.targets for batch in batches[1:]]).flatten(0, 1)
    assert sum(map(task.weight_of, batches[1:])) == int((~targets.isnan()).sum())
    return [torch.cat([batch.inputs_TBI for batch in batches]).flatten(0, 1), targets]


@pytest.mark.parametrize(("split", "first", "end"), [("val", 320, 360), ("test", 360, 400)])
@pytest.mark.parametrize(("size", "length"), [(1, 50), (4, 10), (7, 1), (3, 33)])
def test_each_row_is_judged_once_after_a_past_that_is_read(
    series, path: str, split: str, first: int, end: int, size: int, length: int
) -> None:
    task = series(path=path, length=length, batch_size=size)
    inputs_NI, targets_NO = judged(task, split)
    torch.testing.assert_close(inputs_NI, scaled()[first - length - 1 : end - 1])
    torch.testing.assert_close(targets_NO, scaled()[first:end])
    past = task.batch(split, 0)
    torch.testing.assert_close(past.targets[:, 0], scaled()[first - length : first])


def test_training_goes_on_from_window_to_window_and_round_its_part(series, path: str) -> None:
    task = series(path=path, length=10, batch_size=4)
    rows_NC = scaled()[:320]
    for epoch in range(20):
        number = epoch * task.num_batches("train")
        batches = [task.batch("train", number + i) for i in range(task.num_batches("train"))]
        targets_TBO = torch.cat([batch.targets for batch in batches])
        inputs_TBI = torch.cat([batch.inputs_TBI for batch in batches])
        for part_TI, wanted_TO in zip(inputs_TBI.unbind(1), targets_TBO.unbind(1), strict=True):
            [begin] = (rows_NC == part_TI[0]).all(-1).nonzero().flatten().tolist()
            follows_NC = torch.cat([rows_NC[begin:], rows_NC[:begin]])
            assert torch.equal(part_TI, follows_NC[: len(part_TI)])
            follows_NC[320 - begin : 321 - begin] = torch.nan  # row 1 is none that follows row 320
            torch.testing.assert_close(
                wanted_TO, follows_NC[1 : len(part_TI) + 1], rtol=0, atol=0, equal_nan=True
            )
        assert len(inputs_TBI) == 80, "all of it"


def test_epochs_and_seeds_begin_elsewhere(series, path: str) -> None:
    task, other = (series(seed, path=path, length=10, batch_size=4) for seed in (0, 5))
    epoch = task.num_batches("train")
    assert not torch.equal(task.batch("train", 0).targets, task.batch("train", epoch).targets)
    assert not torch.equal(task.batch("train", 0).targets, other.batch("train", 0).targets)
    assert torch.equal(task.batch("val", 1).targets, other.batch("val", 1).targets)


def test_the_baseline_is_the_better_of_the_mean_and_the_row_before(
    series, tmp_path: Path, path: str
) -> None:
    steps = scaled().diff(dim=0)[359:]
    assert series(path=path, batch_size=4).baseline_of("test") == pytest.approx(
        float((steps**2).mean()), rel=1e-5
    )
    noise = np.random.default_rng(0).normal(size=(ROWS, 2))
    task = series(path=written(tmp_path, noise), batch_size=4)
    _, targets = judged(task, "test")
    cost = float(task.loss(torch.zeros_like(targets), targets))
    assert task.baseline_of("test") == pytest.approx(cost, rel=1e-5)


def test_the_baseline_of_a_series_with_holes_is_over_what_is_judged(series, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    walk = rng.normal(size=(ROWS, 2)).cumsum(0)
    holes = rng.random((ROWS, 2)) < 0.6
    walk[holes] = np.nan
    np.save(tmp_path / "walk.npy", walk)
    task = series(path=str(tmp_path / "walk.npy"), length=10, batch_size=4)
    last, errors = np.full(2, np.nan), []
    for row, values in enumerate((walk - np.nanmean(walk[:320], 0)) / np.nanstd(walk[:320], 0)):
        errors += [error for error in (values - last) ** 2 if row >= 360 and not np.isnan(error)]
        last = np.where(np.isnan(values), last, values)
    assert len(errors) == int((~holes[360:]).sum())
    assert task.baseline_of("test") == pytest.approx(np.mean(errors), rel=1e-5)


def test_missing_values_are_not_judged_and_send_no_gradient(series, tmp_path: Path) -> None:
    task = series(path=written(tmp_path, TABLE, ((321, 0), (5, 1))), length=10, batch_size=4)
    assert task.facts["series.missing"] == "2"
    batch = task.batch("val", 1)
    assert int(batch.targets.isnan().sum()) == 1
    outputs = torch.randn(batch.targets.shape, requires_grad=True)
    task.loss(outputs, batch.targets).backward()
    assert outputs.grad is not None
    assert torch.equal(outputs.grad == 0, batch.targets.isnan())
    errors = (outputs - batch.targets).detach()
    figures = task.metrics(outputs.detach(), batch.targets)
    assert float(figures["absolute_error"]) == pytest.approx(float(errors.abs().nanmean()))
    shown = batch.inputs_TBI[2, 0]  # row 321, as the row before where it is missing
    wanted = torch.tensor([float(scaled()[320, 0]), float(scaled()[321, 1])])
    torch.testing.assert_close(shown, wanted, atol=0.02, rtol=0)


def holed(folder: Path, first: int, end: int) -> str:
    return written(folder, TABLE, tuple((row, 0) for row in range(first, end)))


def test_the_last_known_value_is_read_where_one_is_missing(series, tmp_path: Path) -> None:
    """In training, too; the mean before the first; scaled by what is known of training alone."""
    task = series(path=holed(tmp_path, 0, 20), length=10, batch_size=1)
    known = TABLE[20:320, 0]
    batches = [task.batch("train", index) for index in range(task.num_batches("train"))]
    shown_N = torch.cat([batch.inputs_TBI[:, 0, 0] for batch in batches]).double()
    wanted_N = np.append(np.zeros(20), (known - known.mean()) / known.std())
    np.testing.assert_allclose(shown_N.sort().values, np.sort(wanted_N), atol=1e-6)
    late = series(path=holed(tmp_path, 315, 325), length=10, batch_size=4)
    assert late.batch("val", 1).inputs_TBI[:6, 0, 0].unique().numel() == 1, "that of row 314"
    late = series(path=holed(tmp_path, 322, 325), inputs="none", length=10, batch_size=4)
    targets = late.batch("val", 1).targets
    fed_T, known_T = late.encode_target(targets)[:, 0, 0], targets[:, 0, 0]
    assert fed_T.tolist() == [*known_T[:2], *[known_T[1]] * 3, *known_T[5:]]


def test_the_forecast_goes_on_from_the_last_known_value(series, tmp_path: Path) -> None:
    task = series(path=holed(tmp_path, 355, 360), length=10, batch_size=4)
    network = network_of(task)
    read: list[float] = []
    forward = network.forward
    network.forward = lambda *a, **k: read.append(float(a[0][-1, 0, 0])) or forward(*a, **k)
    task.samples(network)
    assert read[2] == pytest.approx(float(task._scaled_NC[354, 0]), rel=1e-6)


def test_some_columns_can_be_predicted_from_all(series, path: str) -> None:
    task = series(path=path, predicted=("drift",), length=10, batch_size=4)
    assert (task.input_size, task.output_size) == (2, 1)
    batch = task.batch("train", 0)
    assert torch.equal(batch.inputs_TBI[1:, :, 1:], batch.targets[:-1])
    rows = list(csv.DictReader(io.StringIO(task.samples(network_of(task))["forecast.csv"])))
    assert list(rows[0]) == ["step", "drift", "drift" + AHEAD], "it cannot go on without the other"
    np.testing.assert_allclose([float(row["drift"]) for row in rows], TABLE[320:, 1])
    both = series(path=path, predicted=("drift", "wave"), length=10, batch_size=4)
    assert FREE in both.samples(network_of(both))["forecast.csv"], "in whatever order"
    unread = series(path=path, predicted=("drift",), inputs="none", length=10, batch_size=4)
    assert FREE in unread.samples(network_of(unread, feedback=True))["forecast.csv"]


def network_of(task, **options: object) -> RecurrentNetwork:
    from rnnexp.registry import REGISTRY

    cell = REGISTRY.get("cell", "elman").cls
    return RecurrentNetwork(
        lambda size: cell(size, hidden_size=4), task.input_size, task.output_size, **options
    )


@pytest.mark.parametrize("inputs", ["values", "none"])
def test_the_forecast_reads_itself_and_is_in_units_of_the_table(
    series, path: str, inputs: str
) -> None:
    task = series(path=path, inputs=inputs, length=10, batch_size=4)
    network = network_of(task, feedback=inputs == "none")
    with torch.no_grad():
        network.readout.weight.zero_()
        network.readout.bias.copy_(torch.tensor([1.0, -1.0]))
    rows = list(csv.DictReader(io.StringIO(task.samples(network)["forecast.csv"])))
    assert [int(row["step"]) for row in rows] == list(range(-39, 41))
    mean, deviation = TABLE[:320].mean(0), TABLE[:320].std(0)
    for place, name in enumerate(("wave", "drift")):
        shown = [[row[name + kind] for row in rows] for kind in ("", AHEAD, FREE)]
        np.testing.assert_allclose(np.array(shown[0], float), TABLE[320:, place])
        said = float(mean[place] + deviation[place] * (1, -1)[place])
        np.testing.assert_allclose(np.array(shown[1], float), [said] * 80, rtol=1e-6)
        assert shown[2][:40] == [""] * 40
        np.testing.assert_allclose(np.array(shown[2][40:], float), [said] * 40, rtol=1e-6)


def test_the_series_of_mackey_and_glass(series) -> None:
    task = series()
    z = task._raw_NC[:, 0]
    assert (len(z), task.facts["series.rows"]) == (10_000, "10000")
    assert 0.2 < z.min() < 0.5 < 1.2 < z.max() < 1.5, "its attractor, as in the literature"
    power = np.abs(np.fft.rfft(z - z.mean())) ** 2
    assert 1 / np.fft.rfftfreq(len(z))[power.argmax()] == pytest.approx(50, abs=5), "steps a turn"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"length": 0}, "task.length: must be at least 1, got 0"),
        ({}, "400 rows are too few for batches of 32 parts of 50; 2000 are needed"),
        ({"predicted": ("wav",)}, "task.predicted: there is no column 'wav'. Did you mean 'wave'"),
        ({"columns": ("wave",), "predicted": ("drift",)}, "no column 'drift'"),
    ],
)
def test_what_cannot_work_is_refused(series, path: str, options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        series(path=path, **options)


@pytest.mark.parametrize(
    ("rows", "values", "words"),
    [
        (slice(320), 3.0, "'drift' does not vary in rows 1 to 320, the part for train"),
        (slice(360, 400), np.nan, "'drift' has no value in rows 361 to 400, the part for test"),
    ],
)
def test_columns_that_say_nothing_are_refused(
    series, tmp_path: Path, rows: slice, values: float, words: str
) -> None:
    table = TABLE.copy()
    table[rows, 1] = values
    np.save(tmp_path / "t.npy", table)
    with pytest.raises(ConfigError, match=words.replace("drift", "1")):
        series(path=str(tmp_path / "t.npy"), length=10, batch_size=4)


def test_the_past_is_fed_back_and_not_judged(series, path: str) -> None:
    """A validation under teacher forcing is that of one long sequence with its past."""
    task = series(path=path, inputs="none", length=10, batch_size=4)
    torch.manual_seed(0)
    network = network_of(task, feedback=True)
    module = RecurrentModule(network, task, SGD, None)
    trainer = Trainer(logger=False, **QUIET)
    trainer.validate(module, TaskData(task, "every_step"), verbose=False)
    figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
    targets = scaled()[310:360].unsqueeze(1)
    with torch.no_grad():
        outputs, _ = network(torch.zeros(50, 1, 0), targets_TBO=targets)
    wanted = float((outputs[10:] - targets[10:]).square().mean())
    assert figures["val/loss"] == pytest.approx(wanted, rel=1e-5)
    with torch.no_grad():
        _, state = network(torch.zeros(10, 1, 0), targets_TBO=targets[:10])
        free, _ = network(torch.zeros(40, 1, 0), state, feed=Feed.free())
    wanted = float((free - targets[10:]).square().mean())
    assert figures["val/loss_free"] == pytest.approx(wanted, rel=1e-5)
