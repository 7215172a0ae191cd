# SPDX-License-Identifier: Apache-2.0
"""Muon for the weights of the convolutions, AdamW for everything else.

Muon replaces the momentum of a weight matrix by its nearest semi-orthogonal matrix, so that a step
moves every direction of the matrix alike. Steps are scaled to the size that AdamW's have, so one
learning rate serves both. Very wide matrices stay with AdamW: orthogonalising them would cost as
much as a step of training.

Source:
    Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; the scale is
    that of Liu et al. 2025, "Muon is Scalable for LLM Training", equation 4.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

WIDEST = 512
ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
MOMENTUM = 0.95


def orthogonalise(matrix: Tensor) -> Tensor:
    """Nearest semi-orthogonal matrix, roughly: singular values end between 0.7 and 1.2.

    Args:
        matrix: [rows, columns] or a batch [n, rows, columns], float32.
    """
    a, b, c = COEFFICIENTS
    turned = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if turned else matrix
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x.mT if turned else x
    return result


def is_matrix(parameter: Tensor) -> bool:
    """True for weights that Muon steps: convolutions with both sides between 8 and 512."""
    if parameter.ndim < 2:
        return False
    return 8 <= min(parameter.shape[0], parameter[0].numel()) <= WIDEST


class Muon(torch.optim.Optimizer):
    """Muon over convolution weights of any number of dimensions.

    Args:
        params: weights for which ``is_matrix`` holds.
        lr: as for AdamW.
        weight_decay: decoupled.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Move every weight; those of one shape are orthogonalised together."""
        del closure
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = {}
            for one in group["params"]:
                if one.grad is not None:
                    by_shape.setdefault(one.shape, []).append(one)
            for shape, alike in by_shape.items():
                moments = torch.stack([self._moment(one, one.grad) for one in alike])
                flat = moments.reshape(len(alike), shape[0], -1)
                scale = 0.2 * max(flat.shape[-2:]) ** 0.5
                for one, step in zip(alike, orthogonalise(flat), strict=True):
                    one.mul_(1.0 - group["lr"] * group["weight_decay"])
                    one.add_(step.view_as(one), alpha=-group["lr"] * scale)

    def _moment(self, one: nn.Parameter, gradient: Any) -> Tensor:
        """Nesterov momentum of one weight."""
        state = self.state[one]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(one)
        state["momentum"].lerp_(gradient, 1.0 - MOMENTUM)
        moment: Tensor = gradient.lerp(state["momentum"], MOMENTUM)
        return moment


class Both(torch.optim.Optimizer):
    """Muon and AdamW behind one interface."""

    def __init__(self, network: nn.Module, lr: float, weight_decay: float) -> None:
        parameters = list(network.parameters())
        matrices = [p for p in parameters if is_matrix(p)]
        others = [p for p in parameters if not is_matrix(p)]
        self.parts: tuple[torch.optim.Optimizer, ...] = (
            Muon(matrices, lr, weight_decay),
            torch.optim.AdamW(others, lr=lr, weight_decay=weight_decay),
        )
        super().__init__(parameters, {})
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Step both."""
        del closure
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """State of both, by their order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore both."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]
