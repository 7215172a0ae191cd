# SPDX-License-Identifier: Apache-2.0
"""Muon beside AdamW."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from voiceauth.training.optimiser import Both, is_matrix, orthogonalise

pytestmark = pytest.mark.train


@pytest.mark.parametrize("shape", [(16, 16), (8, 40), (40, 8), (3, 12, 20)])
def test_orthogonalised_matrices_move_every_direction_alike(shape: tuple[int, ...]) -> None:
    """Singular values that span two decades end between 0.6 and 1.3."""
    torch.manual_seed(1)
    left, _, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    values = torch.logspace(0, -2, left.shape[-1])
    found = torch.linalg.svdvals(orthogonalise(left @ torch.diag(values) @ right))
    assert float(found.min()) > 0.6
    assert float(found.max()) < 1.3


def test_orthogonalising_keeps_the_directions() -> None:
    """The result lies along the singular vectors of the matrix."""
    torch.manual_seed(2)
    matrix = torch.randn(12, 12)
    left, _, right = torch.linalg.svd(matrix)
    turned = left.T @ orthogonalise(matrix) @ right.T
    assert float((turned - torch.diag(turned.diagonal())).abs().max()) < 1e-3
    assert float(turned.diagonal().min()) > 0.0


def test_vectors_and_very_wide_matrices_stay_with_adamw() -> None:
    """Norms, biases and weights with both sides above 512 are not orthogonalised."""
    assert is_matrix(torch.zeros(16, 8, 3))
    assert is_matrix(torch.zeros(192, 1536, 1))
    assert not is_matrix(torch.zeros(64))
    assert not is_matrix(torch.zeros(16, 1, 3, 2))
    assert not is_matrix(torch.zeros(768, 768, 1))


def network() -> nn.Module:
    """A small network with weights for both parts."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv1d(8, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 1))


def run(module: nn.Module, optimiser: torch.optim.Optimizer, steps: int) -> list[float]:
    """Losses of a few steps on one fixed batch."""
    torch.manual_seed(4)
    batch, wanted = torch.randn(32, 8, 8), torch.randn(32, 1)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = (module(batch) - wanted).pow(2).mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def test_every_weight_is_stepped_and_the_loss_falls() -> None:
    """No parameter is left out, and a few steps learn a fixed batch."""
    module = network()
    before = [p.detach().clone() for p in module.parameters()]
    losses = run(module, Both(module, 1e-2, 0.0), 30)
    assert losses[-1] < 0.3 * losses[0]
    assert all(not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def test_learning_rate_of_the_schedule_reaches_both() -> None:
    """At a rate of zero, set through the groups as the run does, nothing moves."""
    module = network()
    optimiser = Both(module, 1e-2, 0.1)
    before = [p.detach().clone() for p in module.parameters()]
    for group in optimiser.param_groups:
        group["lr"] = 0.0
    run(module, optimiser, 2)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def test_a_restored_optimiser_goes_on_as_the_first_would() -> None:
    """Momentum survives a checkpoint: both continue with the same losses."""
    module = network()
    optimiser = Both(module, 1e-2, 0.0)
    run(module, optimiser, 5)
    copy = network()
    copy.load_state_dict(module.state_dict())
    other = Both(copy, 1e-2, 0.0)
    other.load_state_dict(deepcopy(optimiser.state_dict()))
    assert run(copy, other, 5) == pytest.approx(run(module, optimiser, 5), rel=1e-4)
