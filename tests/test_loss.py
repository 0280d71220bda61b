"""The hinge losses against torch's and by hand, and mixed labels."""

import pytest
import torch
from torch.nn import functional as F

from tinybench.configuration import get_recipe
from tinybench.data.batches import Batch
from tinybench.recipe import Recipe
from tinybench.training.loss import build_criterion, multi_margin


@pytest.mark.parametrize(("loss", "power"), [("hinge", 1), ("squared_hinge", 2)])
@pytest.mark.parametrize("margin", [1.0, 20.0])
def test_values_and_gradients_are_torchs(loss, power, margin):
    torch.manual_seed(0)
    scores = (10 * torch.randn(50, 7)).requires_grad_()
    labels = torch.randint(0, 7, (50,))
    ours = build_criterion(Recipe(loss=loss, margin=margin, label_smoothing=0.0))(scores, labels)
    theirs = F.multi_margin_loss(scores, labels, p=power, margin=margin)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(value, scores)[0] for value in (ours, theirs)))


def test_by_hand():
    scores, labels = torch.tensor([[5.0, 1.0, 4.5]]), torch.tensor([0])
    assert multi_margin(scores, labels, margin=2, power=1).item() == pytest.approx(1.5 / 3)  # only class 2 is near
    assert multi_margin(scores, labels, margin=2, power=2).item() == pytest.approx(1.5**2 / 3)
    assert multi_margin(scores, labels, margin=20, power=1).item() == pytest.approx((16 + 19.5) / 3)


def test_mixed_labels_are_weighed():
    scores = torch.randn(4, 3)
    one, other = torch.tensor([0, 1, 2, 0]), torch.tensor([1, 1, 0, 2])
    criterion = build_criterion(get_recipe("svm"))
    mixed = Batch(torch.empty(4, 3, 8, 8), one, other, 0.3).loss(scores, criterion)
    expected = 0.3 * F.multi_margin_loss(scores, one, margin=20) + 0.7 * F.multi_margin_loss(scores, other, margin=20)
    torch.testing.assert_close(mixed, expected)


def test_cross_entropy_is_smoothed():
    scores, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    expected = F.cross_entropy(scores, labels, label_smoothing=0.1)
    torch.testing.assert_close(build_criterion(Recipe())(scores, labels), expected)
