"""Muon, which turns the momentum of a matrix into its nearest orthogonal one.

The source is Jordan et al., 2024, kellerjordan.github.io/posts/muon. torch.optim.Muon takes matrices only; here the
kernel of a convolution counts as one, of its outputs by all the rest.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_MOMENTUM = 0.95
_ROUNDS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)  # of the Newton-Schulz iteration, from the source


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, made orthogonal; for weights of two dimensions or more."""

    def __init__(self, weights: Sequence[nn.Parameter], lr: float) -> None:
        super().__init__(weights, {"lr": lr})

    @torch.no_grad()
    def step(self, _closure: None = None) -> None:  # type: ignore[override]
        """Move each weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group["lr"])

    def _move(self, weight: nn.Parameter, gradient: Tensor, learning_rate: float) -> None:
        state = self.state[weight]
        momentum = state.setdefault("momentum", torch.zeros_like(weight))
        momentum.mul_(_MOMENTUM).add_(gradient)
        matrix = (gradient + _MOMENTUM * momentum).flatten(1)
        rows, columns = matrix.shape
        scale = max(1.0, min(rows, columns) / max(rows, columns)) ** 0.5
        weight.add_(orthogonal(matrix).view_as(weight), alpha=-learning_rate * scale)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return about the nearest matrix of orthonormal rows (or columns): singular values between 0.7 and 1.2."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    a, b, c = _QUINTIC
    for _ in range(_ROUNDS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    found: Tensor = x if wide is matrix else x.T
    return found
