"""Tasks that keep the contract, each in a way of its own."""

from dataclasses import replace

import torch
from torch import nn

from rnnexp.tasks import IGNORED, GeneratedTask, accuracy, cross_entropy


class Even(GeneratedTask):
    """Is it constant?"""

    patterns = ("last",)
    input_size = output_size = 1

    def generate(self, rng):
        x = torch.rand(self.length, self.batch_size, 1, generator=rng)
        return x, x.mean(0)

    def loss(self, outputs, targets):
        return (outputs - targets).square().mean()


class OfOneSize(Even):
    """Is it constant, thirty-two times?

    Args:
        length: time steps T.
    """

    def __init__(self, seed=0, *, length=20):
        super().__init__(seed, length=length)


class Classes(Even):
    """Which of five is it?"""

    output_size = 5

    def generate(self, rng):
        x, _ = super().generate(rng)
        return x, torch.randint(self.output_size, (self.batch_size,), generator=rng)

    def loss(self, outputs, targets):
        return cross_entropy(outputs, targets)

    def metrics(self, outputs, targets):
        return {"accuracy": accuracy(outputs, targets)}


class Steps(Classes):
    """Classes of steps, some of them padding."""

    patterns = ("every_step",)

    def generate(self, rng):
        x = torch.rand(self.length, self.batch_size, 1, generator=rng)
        targets = (x.squeeze(-1) * self.output_size).long()
        targets[20:, 0] = IGNORED
        return x, targets


class Missing(Even):
    """Numbers, of which some are not known."""

    def generate(self, rng):
        x, targets = super().generate(rng)
        return x, targets.where(targets < targets.max(), torch.nan)

    def loss(self, outputs, targets):
        known = ~targets.isnan()
        return (outputs - targets)[known].square().mean()


class OneOfPadding(Steps):
    """The first sequence is nothing but padding."""

    def generate(self, rng):
        x, targets = super().generate(rng)
        targets[:, 0] = IGNORED
        return x, targets


class LastMissing(Missing):
    """Numbers, of which all but one are not known."""

    def generate(self, rng):
        x, targets = super().generate(rng)
        targets[1:] = torch.nan
        targets[0] = 0.5
        return x, targets


class RootOfTheMean(Even):
    """No mean over rows to the letter; what many mean by one."""

    def loss(self, outputs, targets):
        return (outputs - targets).square().mean().sqrt()


class FlatAndToldSo(Even):
    """Targets of another shape, by a loss that knows it."""

    def generate(self, rng):
        x, targets = super().generate(rng)
        return x, targets.squeeze(-1)

    def loss(self, outputs, targets):
        return (outputs.squeeze(-1) - targets).square().mean()


class ValuesAndWeights(Even):
    """Targets of more columns than outputs, to a loss of its own."""

    def generate(self, rng):
        x, targets = super().generate(rng)
        return x, torch.cat([targets, torch.rand(targets.shape, generator=rng)], -1)

    def loss(self, outputs, targets):
        return ((outputs - targets[:, :1]).square() * targets[:, 1:]).mean()


class Tail(Even):
    """Sequences of a test of which the last are shorter, and fewer."""

    def batch(self, split, index):
        batch = super().batch(split, index)
        if split == "train" or index < self.num_batches(split) - 1:
            return batch
        return replace(batch, inputs_TBI=batch.inputs_TBI[:7, :1], targets=batch.targets[:1])


class Flags(Even):
    """Yes or no, as bool."""

    def generate(self, rng):
        x, targets = super().generate(rng)
        return x, targets > targets.mean()

    def loss(self, outputs, targets):
        return nn.functional.binary_cross_entropy_with_logits(outputs, targets.float())

    def metrics(self, outputs, targets):
        return {"accuracy": ((outputs > 0) == targets).float().mean()}


class NoTargets(Even):
    """A loss of the outputs alone."""

    def loss(self, outputs, targets):
        return outputs.square().mean()


class Tokens(Even):
    """Whole numbers, for a cell that looks them up."""

    def generate(self, rng):
        x, targets = super().generate(rng)
        return (10 * x).long(), targets


class Knows(Even):
    """Numbers as facts, and names of its own beside the engine's."""

    baseline = 1

    @property
    def facts(self):
        return {"size": 3, "mean": torch.tensor(1.5)}

    def metrics(self, outputs, targets):
        return {"loss_of_half": outputs.mean(), "bias_T5": outputs.mean()}


SOUND = [Even, Classes, Steps, Missing, RootOfTheMean, FlatAndToldSo, ValuesAndWeights, NoTargets]
SOUND += [OfOneSize, Tail, Flags, Tokens, Knows, OneOfPadding, LastMissing]
