"""Loss and accuracy over classes: padding is left out, and nothing but padding costs nothing."""

import pytest
import torch

from rnnexp.errors import PluginError
from rnnexp.tasks import IGNORED, accuracy, cross_entropy, one_hot

T, B, V = 5, 3, 4


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(T, B, V, generator=torch.Generator().manual_seed(0)).requires_grad_()


def test_padding_is_left_out_of_loss_and_accuracy(logits: torch.Tensor) -> None:
    targets = logits.argmax(-1)
    targets[0, 0] = (targets[0, 0] + 1) % V  # one wrong
    targets[3:, 1] = IGNORED
    judged = targets != IGNORED
    wanted = -logits.log_softmax(-1)[judged].gather(-1, targets[judged][:, None]).mean()
    torch.testing.assert_close(cross_entropy(logits, targets), wanted)
    assert float(accuracy(logits, targets)) == pytest.approx(12 / 13)


def test_what_is_all_padding_costs_nothing(logits: torch.Tensor) -> None:
    targets = torch.full((T, B), IGNORED)
    loss = cross_entropy(logits, targets)
    (grad,) = torch.autograd.grad(loss, logits)
    assert float(loss.detach()) == 0.0
    assert not grad.any()
    assert float(accuracy(logits, targets)) == 0.0


def test_without_padding_the_loss_is_torchs_to_the_bit(logits: torch.Tensor) -> None:
    targets = torch.arange(T * B).view(T, B) % V
    wanted = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    loss = cross_entropy(logits, targets)
    assert torch.equal(loss, wanted)
    assert torch.equal(*(torch.autograd.grad(x, logits)[0] for x in (loss, wanted)))


def test_a_loss_that_is_lost_is_not_hidden() -> None:
    lost = torch.full((2, V), torch.nan)
    assert cross_entropy(lost, torch.tensor([0, IGNORED])).isnan()


def test_padding_is_fed_back_as_nothing() -> None:
    shown = one_hot(torch.tensor([[1, IGNORED], [0, 2]]), 3)
    wanted = [[[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]]
    assert shown.tolist() == wanted


@pytest.mark.parametrize("figure", [cross_entropy, accuracy])
@pytest.mark.parametrize("shape", [(T, B, 1), (B, T), (B,), (T, B, V)])
def test_targets_that_torch_would_broadcast_are_refused(logits, figure, shape) -> None:
    words = rf"{figure.__name__}: outputs of shape \(5, 3, 4\) need targets of shape \(5, 3\), a "
    with pytest.raises(PluginError, match=words) as caught:
        figure(logits, torch.zeros(shape, dtype=torch.long))
    assert f"got {shape}. Give the targets that shape." in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.int32, torch.float32])
def test_class_numbers_of_another_type_are_refused_in_words(logits, dtype: torch.dtype) -> None:
    words = rf"class numbers of torch.int64, got {dtype}. Write targets.long\(\)"
    with pytest.raises(PluginError, match=words):
        cross_entropy(logits, torch.zeros(T, B, dtype=dtype))


def test_bytes_are_class_numbers_too(logits: torch.Tensor) -> None:
    classes = torch.arange(T * B).view(T, B) % V
    assert torch.equal(cross_entropy(logits, classes.byte()), cross_entropy(logits, classes))
