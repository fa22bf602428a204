import math
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from rnnexp.recurrence import Feed, FeedMode, RecurrentNetwork, Schedule, Trace, unroll
from rnnexp.registry import Registry
from rnnexp.tasks import Batch, GeneratedTask
from rnnexp.training import team
from rnnexp.training.module import Recipe, RecurrentModule
from rnnexp.training.team import own_rows

T, B, H = 6, 2, 4
SGD = partial(torch.optim.SGD, lr=0.1)


class Echo(GeneratedTask):
    targets_as_inputs = True

    @property
    def input_size(self) -> int:
        return 2

    @property
    def output_size(self) -> int:
        return 2

    def generate(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        x = torch.rand(self.length, self.batch_size, 2, generator=rng)
        return x, x.roll(1, 0)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).square().mean()

    def encode_target(self, targets: Tensor) -> Tensor:
        return targets


@pytest.fixture
def make(plugins: Registry):
    def make(
        cell: str = "elman", feed: FeedMode = "teacher", window: int | None = None, **options: Any
    ) -> RecurrentModule:
        torch.manual_seed(0)
        cls = plugins.get("cell", cell).cls
        network = RecurrentNetwork(lambda size: cls(size, hidden_size=H), 2, 2, **options)
        task = Echo(0, length=T, batch_size=B)
        return RecurrentModule(network, task, Recipe(SGD, feed_mode=feed), window)

    return make


@pytest.fixture
def batch() -> Batch:
    return Echo(0, length=T, batch_size=B).batch("train", 0)


def _windows(batch: Batch, size: int) -> list[Batch]:
    cuts = zip(batch.inputs_TBI.split(size), batch.targets.split(size), strict=True)
    return [Batch(x, y, fresh=i == 0) for i, (x, y) in enumerate(cuts)]


def test_loss_is_the_tasks_of_the_networks_outputs(make, batch: Batch) -> None:
    module = make()
    loss = module.training_step(batch, 0)
    outputs, _ = module.network(batch.inputs_TBI)
    torch.testing.assert_close(loss, (outputs - batch.targets).square().mean())


def test_window_goes_on_from_the_state_before(make, batch: Batch) -> None:
    module = make()
    first, second = _windows(batch, 4)
    module.training_step(first, 0)
    loss = module.training_step(second, 1)
    outputs, _ = module.network(batch.inputs_TBI)
    torch.testing.assert_close(loss, (outputs[4:] - second.targets).square().mean())


def test_gradient_of_a_window_stops_at_its_beginning(make, batch: Batch) -> None:
    module = make("elman")
    first, second = _windows(batch, 3)
    module.training_step(first, 0)
    loss = module.training_step(second, 1)
    cell = module.network.layers[0]
    state = tuple(s.detach() for s in unroll(cell, first.inputs_TBI).state)
    alone = module.network.readout(unroll(cell, second.inputs_TBI, state).outputs_TBH)
    wanted = (alone - second.targets).square().mean()
    pairs = zip(
        torch.autograd.grad(loss, list(module.parameters())),
        torch.autograd.grad(wanted, list(module.parameters())),
        strict=True,
    )
    for one, two in pairs:
        torch.testing.assert_close(one, two)


def test_fresh_batch_starts_from_zeros(make, batch: Batch) -> None:
    module = make()
    first = module.training_step(batch, 0)
    torch.testing.assert_close(module.training_step(batch, 1), first, rtol=0, atol=0)


@pytest.mark.parametrize("window", [2, 4])
def test_windows_without_targets_only_carry_the_state(make, batch: Batch, window: int) -> None:
    module = make("lstm", readout="last", window=window)
    module.traces = [Trace()]
    end = replace(batch, targets=batch.targets[-1])
    loss = module.training_step(end, 0)
    loss.backward()
    outputs, _ = module.network(batch.inputs_TBI)
    torch.testing.assert_close(loss, (outputs - end.targets).square().mean())
    assert module.traces[0].grad_norm_T.shape == (2,), "the gradient is cut at the last window"


@pytest.mark.parametrize("cell", ["lstm", "jordan"])
def test_carried_state_travels_in_the_checkpoint(make, batch: Batch, cell: str, tmp_path) -> None:
    module, other = make(cell, feedback=True), make(cell, feedback=True)
    first, second = _windows(batch, 4)
    module.training_step(first, 0)
    checkpoint: dict[str, Any] = {}
    module.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "x.ckpt")
    other.on_load_checkpoint(torch.load(tmp_path / "x.ckpt", weights_only=True))
    one, two = module.training_step(second, 1), other.training_step(second, 1)
    torch.testing.assert_close(one, two, rtol=0, atol=0)


@pytest.mark.parametrize("cell", ["lstm", "qrnn", "mlstm"])
def test_rows_of_a_lost_state_begin_afresh(make, batch: Batch, cell: str) -> None:
    module = make(cell)
    first, second = _windows(batch, 4)
    lost = replace(first, inputs_TBI=first.inputs_TBI.clone())
    lost.inputs_TBI[1, 1] = math.nan
    module.training_step(lost, 0)
    module.forget_lost_state()
    for state in module._carried["train"].layers:
        for tensor in state:
            assert tensor.isfinite().all()
            assert not tensor[1].any()
    assert module._carried["train"].layers[0][0][0].any(), "the other rows go on"
    assert module.training_step(second, 1).isfinite()


def test_rows_whose_fed_back_output_is_lost_begin_afresh(make, batch: Batch) -> None:
    module = make("elman", feedback=True)
    first, second = _windows(batch, 4)
    module.training_step(first, 0)
    module._carried["train"].fed_back_BO[1] = math.nan
    module.forget_lost_state()
    carried = module._carried["train"]
    assert carried.fed_back_BO.isfinite().all()
    assert [bool(row.any()) for row in carried.layers[0][0]] == [True, False]
    assert module.training_step(second, 1).isfinite()


def test_a_cell_without_a_state_has_none_to_lose(make, batch: Batch) -> None:
    module = make("jordan")
    module.forget_lost_state()
    module.training_step(batch, 0)
    module.forget_lost_state()


@pytest.mark.parametrize("cell", ["lstm", "qrnn", "mlstm", "md_rnn"])
def test_the_rows_of_each_process_are_those_it_gave(
    make, batch: Batch, cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = make(cell).network.layers[0].initial_state((B,))
    found = []
    for rank in range(2):
        monkeypatch.setattr(team, "rank_and_size", lambda rank=rank: (rank, 2))
        found.append([own_rows(tensor) for tensor in state])
    for tensor, one, two in zip(state, *found, strict=True):
        assert one.shape == two.shape == (B // 2, *tensor.shape[1:])


def test_checkpoint_before_the_first_step_loads(make) -> None:
    checkpoint: dict[str, Any] = {}
    make().on_save_checkpoint(checkpoint)
    make().on_load_checkpoint(checkpoint)
    assert checkpoint == {}


def test_recipe_feeds_as_it_says(make, batch: Batch) -> None:
    losses = [
        make(feed=mode, feedback=True).training_step(batch, 0)
        for mode in ("teacher", "free", "scheduled")
    ]
    network, fed = make(feedback=True).network, batch.targets
    for loss, feed in zip(losses, (Feed.teacher(), Feed.free()), strict=False):
        outputs, _ = network(batch.inputs_TBI, targets_TBO=fed, feed=feed)
        torch.testing.assert_close(loss, (outputs - batch.targets).square().mean())
    assert not torch.equal(losses[0], losses[1])
    assert torch.equal(losses[0], losses[2])  # the schedule starts with targets only


def test_scheduled_share_falls_with_the_step() -> None:
    recipe = Recipe(SGD, feed_mode="scheduled", schedule=Schedule("linear", 1.0, 0.2, 100))
    assert [recipe.feed(step) for step in (0, 50, 1000)] == [
        Feed.scheduled(share) for share in (1.0, 0.5, 0.2)
    ]


def test_optimizer_takes_what_is_trained(make, plugins: Registry) -> None:
    module = make()
    module.network.layers[0].bias_ih.requires_grad_(False)
    (group,) = module.configure_optimizers().param_groups
    trained = {id(p) for p in module.parameters() if p.requires_grad}
    assert {id(p) for p in group["params"]} == trained
    assert len(trained) == 4


def test_schedule_moves_at_every_step(make) -> None:
    module = make()
    step = partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    module.recipe = Recipe(SGD, step)
    made = module.configure_optimizers()
    assert made["lr_scheduler"]["interval"] == "step"
    made["optimizer"].step()
    made["lr_scheduler"]["scheduler"].step()
    assert made["optimizer"].param_groups[0]["lr"] == 0.05


def test_clipping_is_lightnings_unless_nothing_is_to_be_clipped(make, monkeypatch) -> None:
    module, called = make(), []
    monkeypatch.setattr(module, "clip_gradients", lambda *given: called.append(given))
    module.configure_gradient_clipping(None, 1.0, "norm")
    module.nothing_to_clip = True
    module.configure_gradient_clipping(None, 2.0, "norm")
    assert called == [(None, 1.0, "norm")]
