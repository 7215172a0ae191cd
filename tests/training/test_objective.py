# SPDX-License-Identifier: Apache-2.0
"""The training objective."""

import pytest
import torch

from voiceauth.training.objective import UNLABELLED, Objective, Weights

pytestmark = pytest.mark.train


def directions(classes: int = 6) -> torch.Tensor:
    """Random unit class directions, [classes, 192]."""
    torch.manual_seed(1)
    return torch.nn.functional.normalize(torch.randn(classes, 192), dim=1)


def test_perfect_imitation_leaves_only_the_speaker_term() -> None:
    """Embeddings equal to their targets have no distance and no difference of geometry."""
    target = directions()
    terms = Objective(target)(target, target, torch.arange(6), 1.0)
    assert float(terms.distance) == pytest.approx(0.0, abs=1e-6)
    assert float(terms.geometry) == pytest.approx(0.0, abs=1e-6)
    assert float(terms.total) == pytest.approx(0.3 * float(terms.speakers), abs=1e-5)


def test_terms_have_their_weights() -> None:
    """The total is the weighted sum of the parts."""
    one, other = directions(), directions().flip(0)
    weights = Weights(distance=7.0, geometry=11.0, speakers=13.0)
    terms = Objective(directions(), weights)(one, other, torch.arange(6), 0.5)
    expected = 7.0 * terms.distance + 11.0 * terms.geometry + 13.0 * terms.speakers
    torch.testing.assert_close(terms.total, expected)


def test_margin_grows_over_the_run() -> None:
    """The same embeddings cost more later in the run, and no more once the ramp has ended."""
    embedding = torch.nn.functional.normalize(directions() + 0.2 * torch.randn(6, 192), dim=1)
    objective = Objective(directions())
    costs = [
        float(objective(embedding, embedding, torch.arange(6), done).speakers)
        for done in (0.0, 0.15, 0.3, 0.9)
    ]
    assert costs[0] < costs[1] < costs[2]
    assert costs[2] == pytest.approx(costs[3])


def test_unlabelled_rows_do_not_reach_the_softmax() -> None:
    """Unlabelled audio changes neither the speaker term nor the class directions."""
    embedding = directions()
    objective = Objective(directions())
    labels = torch.tensor([0, 1, 2, UNLABELLED, UNLABELLED, UNLABELLED])
    mixed = objective(embedding, embedding, labels, 1.0).speakers
    alone = objective(embedding[:3], embedding[:3], torch.arange(3), 1.0).speakers
    torch.testing.assert_close(mixed, alone)


def test_batch_without_labels_still_trains() -> None:
    """A batch of unlabelled audio only is distilled, with finite gradients."""
    embedding = directions().requires_grad_()
    labels = torch.full((6,), UNLABELLED)
    terms = Objective(directions())(embedding, directions().flip(0), labels, 0.5)
    terms.total.backward()
    assert float(terms.speakers) == 0.0
    assert embedding.grad is not None
    assert bool(torch.isfinite(embedding.grad).all())
    assert float(embedding.grad.abs().sum()) > 0.0


def test_gradient_is_finite_at_the_poles() -> None:
    """An embedding on its class direction, or opposite to it, has a finite gradient."""
    embedding = torch.cat([directions()[:3], -directions()[3:]]).requires_grad_()
    terms = Objective(directions())(embedding, directions(), torch.arange(6), 1.0)
    terms.total.backward()
    assert embedding.grad is not None
    assert bool(torch.isfinite(embedding.grad).all())
