"""Cells that keep the contract, or break one promise of it each."""

import torch
from torch import nn

from rnnexp.cells import Cell, LinearCell, PointwiseCell


class Sound(PointwiseCell):
    """A unit that keeps its contract.

        h_t = tanh(W x_t + R h_{t-1} + b)

    Source: nobody.
    """

    num_gates = 1

    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh((wx_BGH + rh_BGH).squeeze(-2)),)


class Wordless(Sound):
    pass


class FixedAxis(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh((wx_BGH + rh_BGH)[:, 0]),)


class OtherInputs(Sound):
    def __init__(self, input_size, **options):
        super().__init__(3 if input_size == 1 else input_size, **options)


class FixedType(Sound):
    def initial_state(self, batch_shape):
        return (torch.zeros(*batch_shape, self.hidden_size),)


class FixedDevice(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh((wx_BGH + rh_BGH).squeeze(-2)) + torch.ones(self.hidden_size).double(),)


class Detached(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh((wx_BGH + rh_BGH.detach()).squeeze(-2)),)


class Rounds(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        n_BH = torch.tanh((wx_BGH + rh_BGH).squeeze(-2))
        return (state[0] / 2 + torch.round(n_BH * 4) / 4,)


class MixesRows(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        new_BH = torch.tanh((wx_BGH + rh_BGH).squeeze(-2))
        return (new_BH - new_BH.mean(0, keepdim=True),)


class CountsRows(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        z_BH = (wx_BGH + rh_BGH).squeeze(-2)
        return (torch.tanh(z_BH / (z_BH.shape[-2] if z_BH.dim() > 1 else 1)),)


class MixesSteps(Sound):
    def project_input(self, x_BI):
        wx_BGH = super().project_input(x_BI)
        return wx_BGH - wx_BGH.mean(0, keepdim=True) if x_BI.dim() > 3 else wx_BGH


class Remembers(Sound):
    calls = 0

    def update(self, wx_BGH, rh_BGH, state):
        self.calls += 1
        return (torch.tanh((wx_BGH + rh_BGH).squeeze(-2) * self.calls),)


class KeepsALog(Sound):
    def __init__(self, input_size, **options):
        super().__init__(input_size, **options)
        self.log = {"gates": []}

    def update(self, wx_BGH, rh_BGH, state):
        self.log["gates"].append(wx_BGH + rh_BGH)
        return super().update(wx_BGH, rh_BGH, state)


class KeepsTheLast(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        self.last = torch.sigmoid(wx_BGH)
        return super().update(wx_BGH, rh_BGH, state)


class KeepsItsState(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        self.before = (state[0],)
        return super().update(wx_BGH, rh_BGH, state)


class BeginsByChance(Sound):
    def initial_state(self, batch_shape):
        return (torch.randn_like(self.zeros(batch_shape)),)


class BeginsByAnotherChance(Sound):
    def __init__(self, input_size, **options):
        super().__init__(input_size, **options)
        self.own = torch.Generator().manual_seed(0)

    def initial_state(self, batch_shape):
        return (self.zeros(batch_shape).uniform_(generator=self.own),)


class ChangesItsState(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        with torch.no_grad():
            state[0].add_(1.0)
        return (torch.tanh((wx_BGH + rh_BGH).squeeze(-2)),)


class Unseeded(Sound):
    def __init__(self, input_size, **options):
        super().__init__(input_size, **options)
        with torch.random.fork_rng():
            torch.seed()
            self.bias_ih.data.normal_()


class SetsTheSeed(Sound):
    def __init__(self, input_size, **options):
        torch.manual_seed(42)
        super().__init__(input_size, **options)


class HiddenNumber(Sound):
    def __init__(self, input_size, **options):
        super().__init__(input_size, **options)
        self.scale = float(torch.rand(()))

    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh((wx_BGH + self.scale * rh_BGH).squeeze(-2)),)


class ChangesItsOptions(Sound):
    def __init__(self, input_size, *, scales: list[float] = [1.0], **options):  # noqa: B006
        super().__init__(input_size, **options)
        scales.append(2.0)


class NoNumber(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        return (torch.sqrt((wx_BGH + rh_BGH).squeeze(-2)),)


class Unpicklable(Sound):
    def __init__(self, input_size, **options):
        super().__init__(input_size, **options)
        self.act = lambda x: torch.tanh(x)

    def update(self, wx_BGH, rh_BGH, state):
        return (self.act((wx_BGH + rh_BGH).squeeze(-2)),)


class Branches(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        new_BH = torch.tanh((wx_BGH + rh_BGH).squeeze(-2))
        return (new_BH if float(new_BH.sum()) > 0 else -new_BH,)


class AnyAxes(Sound):
    def step(self, x_BI, state):
        out, new = super().step(x_BI, state)
        return (out, new) if x_BI.dim() < 3 else (out + x_BI.sum(), new)


class Careless(Cell):
    """Takes no units at all.

    h_t = 0
    """

    def __init__(self, input_size, *, hidden_size=64):
        nn.Module.__init__(self)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight = nn.Parameter(torch.ones(hidden_size))

    def initial_state(self, batch_shape):
        return (self.zeros(batch_shape),)

    def step(self, x_BI, state):
        return state[0], state


class IdleParameter(Sound):
    def __init__(self, input_size, **options):
        super().__init__(input_size, **options)
        self.idle = nn.Parameter(torch.ones(3))


class ClaimsAnOutputPath(Sound):
    recurs_through = "output"


class Stands(Sound):
    def step(self, x_BI, state):
        return super().step(x_BI, state)[0], state


class ClaimsAClock(Sound):
    clock_states = (0,)


class ClaimsAClockThatIsNone(Sound):
    clock_states = (1,)


class OtherOutput(Sound):
    def step(self, x_BI, state):
        out, new = super().step(x_BI, state)
        return 2 * out, new


class ShowsWhatIsNotCarried(Sound):
    def step(self, x_BI, state):
        out, new = super().step(x_BI, state)
        return torch.sin(out), new


class ShowsWhatComesByTheOutputAlone(LinearCell):
    gradient_of = "output"

    def __init__(self, input_size, **options):
        super().__init__(input_size, **options)
        self.weight = nn.Parameter(torch.ones(self.hidden_size, input_size))

    def coefficients(self, seen_BI):
        b_BN = nn.functional.linear(seen_BI, self.weight)
        return torch.full_like(b_BN, 0.9), b_BN


class Explodes(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        return (1e30 * (wx_BGH + rh_BGH).squeeze(-2),)


class NoTuple(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        return torch.tanh((wx_BGH + rh_BGH).squeeze(-2))


class NoGates(Sound):
    num_gates = None


class HalfARow(Sound):
    def recurrent_weight(self):
        return self.weight_hh[:-1]


class Deaf(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        return (0.01 * torch.sin((1e-9 * wx_BGH + rh_BGH).squeeze(-2)),)


class Grows(Sound):
    def update(self, wx_BGH, rh_BGH, state):
        return (torch.tanh(wx_BGH + rh_BGH + state[0]),)  # lacks an unbind
