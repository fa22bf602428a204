"""Tasks that break one promise of the contract each."""

from dataclasses import replace

import torch
from torch import nn

from .sound_tasks import Classes, Even


class Sums(Even):
    def loss(self, outputs, targets):
        return (outputs - targets).square().sum()


class Chance(Even):
    def generate(self, rng):
        x = torch.rand(self.length, self.batch_size, 1)
        return x, x.mean(0)


class OneBatch(Even):
    def batch(self, split, index):
        return super().batch(split, 0)


class Wide(Even):
    input_size = 2


class Vector(Even):
    def loss(self, outputs, targets):
        return (outputs - targets).square()


class SeedInTest(Even):
    def batch(self, split, index):
        batch = super().batch(split, index)
        return replace(batch, targets=batch.targets + self.seed)


class SizeInTest(Even):
    def batch(self, split, index):
        batch = super().batch(split, index)
        return replace(batch, targets=batch.targets + self.batch_size)


class SizedOnce(Even):
    def __init__(self, seed=0, **options):
        super().__init__(seed, **options)
        self.offset = torch.zeros(self.batch_size, 1)

    def generate(self, rng):
        x, targets = super().generate(rng)
        return x, targets + self.offset


class RowsOfItsOwn(Even):
    def __init__(self, seed=0, **options):
        super().__init__(seed, **options)
        self.rows = self.batch_size

    def generate(self, rng):
        x = torch.rand(self.length, self.rows, 1, generator=rng)
        return x, x.mean(0)


class FeedsBadly(Even):
    targets_as_inputs = True

    def encode_target(self, targets):
        return targets


class NoComma(Even):
    patterns = "last"


class Elsewhere(Even):
    def __init__(self, seed=0, **options):
        super().__init__(seed, **options)
        self.patterns = ("final",)


class Doubles(Even):
    def generate(self, rng):
        x, targets = super().generate(rng)
        return x.double(), targets


class Pixels(Even):
    def generate(self, rng):
        x, targets = super().generate(rng)
        return (255 * x).to(torch.uint8), targets


class HalfBatches(Even):
    def num_batches(self, split):
        return 3 / 2


class OneTooMany(Even):
    def batch(self, split, index):
        batch = super().batch(split, index)
        rows = slice(0, 0) if index == self.num_batches(split) - 1 else slice(None)
        return replace(batch, inputs_TBI=batch.inputs_TBI[:, rows], targets=batch.targets[rows])


class OneEpoch(Even):
    def batch(self, split, index):
        batch = super().batch(split, index)
        rows = slice(0, 0) if index >= self.num_batches(split) else slice(None)
        return replace(batch, inputs_TBI=batch.inputs_TBI[:, rows], targets=batch.targets[rows])


class LeftOver(OneEpoch):
    """Reads on into what a division has left over of its data."""

    def batch(self, split, index):
        return super().batch(split, 0 if index == self.num_batches(split) else index)


class Listed(Even):
    def batch(self, split, index):
        return [super(Listed, self).batch(split, i) for i in range(self.num_batches(split))][index]


class FactsInAList(Even):
    facts = ("size", 3)


class TwoBaselines(Even):
    baseline = torch.ones(2)


class LostBaseline(Even):
    def baseline_of(self, split):
        return float("nan")


class RowsSecond(Even):
    patterns = ("every_step",)


class Flat(Even):
    def generate(self, rng):
        x, targets = super().generate(rng)
        return x, targets.squeeze(-1)


class FlatByTorch(Flat):
    def loss(self, outputs, targets):
        return nn.functional.mse_loss(outputs, targets)


class FlatAndAsManyOutputsAsRows(Flat):
    output_size = 4


class ClassesInAColumn(Classes):
    def generate(self, rng):
        x, targets = super().generate(rng)
        return x, targets.unsqueeze(-1)


class SquaredShare(ClassesInAColumn):
    def loss(self, outputs, targets):
        return nn.functional.cross_entropy(outputs, targets.squeeze(-1))

    def metrics(self, outputs, targets):
        return {"accuracy": (outputs.argmax(-1) == targets).sum() / len(targets)}


class OtherLoss(Even):
    def metrics(self, outputs, targets):
        return {"loss": outputs.mean()}


class LossOfLength(Even):
    def metrics(self, outputs, targets):
        return {"loss_T200": outputs.mean()}


class NumberAlone(Even):
    def metrics(self, outputs, targets):
        return {"bias": 0.5}


class ChangesItsOptions(Even):
    def __init__(self, seed=0, *, sizes: list[int] = [1], **options):  # noqa: B006
        super().__init__(seed, **options)
        sizes.append(2)


class Largest(Even):
    def loss(self, outputs, targets):
        return (outputs - targets).square().max()


class WorstOfAll(Even):
    def metrics(self, outputs, targets):
        return {"worst": (outputs - targets).abs().max()}


class Counts(Even):
    def metrics(self, outputs, targets):
        return {"near": ((outputs - targets).abs() < 5).sum()}


TASK_FAULTS = [
    ("words", OneBatch),
    ("patterns", NoComma),
    ("patterns", Elsewhere),
    ("batches", Wide),
    ("batches", Doubles),
    ("batches", Pixels),
    ("batches", HalfBatches),
    ("batches", OneTooMany),
    ("numbers", Chance),
    ("epochs", OneEpoch),
    ("epochs", LeftOver),
    ("epochs", Listed),
    ("splits", OneBatch),
    ("splits", SeedInTest),
    ("splits", SizeInTest),
    ("splits", RowsOfItsOwn),
    ("batches", SizedOnce),
    ("splits", SizedOnce),
    ("targets", SizedOnce),
    ("facts", FactsInAList),
    ("baseline", TwoBaselines),
    ("baseline", LostBaseline),
    ("targets", RowsSecond),
    ("feedback", FeedsBadly),
    ("loss", Vector),
    ("loss", FlatByTorch),
    ("loss", ClassesInAColumn),
    ("rows", Flat),
    ("rows", FlatAndAsManyOutputsAsRows),
    ("mean", Sums),
    ("options", ChangesItsOptions),
    ("mean", Largest),
    ("metrics", WorstOfAll),
    ("metrics", Counts),
    ("metrics", SquaredShare),
    ("metrics", OtherLoss),
    ("metrics", LossOfLength),
    ("metrics", NumberAlone),
]
