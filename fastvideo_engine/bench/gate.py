"""Whether two ways of training compute the same: only then their times can be compared."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fastvideo_engine.bench.learners import Learner
from fastvideo_engine.training.flow_matching import Batch

_LOSS_MAY_DIFFER = {torch.float32: 1e-5, torch.bfloat16: 1e-3}
_LEAST_COSINE = 0.999

Learnt = tuple[float, Mapping[str, Tensor]]
"""A loss and the gradients of all trained weights, on the CPU."""


@dataclass(frozen=True)
class Gate:
    """How far a way is from the plain one at the first step: the loss by its share, the gradients by their angle."""

    loss_difference: float
    gradient_cosine: float

    def __str__(self) -> str:
        return f"loss {self.loss_difference:.2g} apart, cosine of the gradients {self.gradient_cosine:.6f}"

    def problem(self, dtype: torch.dtype) -> str | None:
        """Say why the times of this way would mean nothing; None when they mean something."""
        allowed = _LOSS_MAY_DIFFER[dtype]
        if self.loss_difference <= allowed and self.gradient_cosine > _LEAST_COSINE:
            return None
        return f"{self}, where {allowed:g} at most and above {_LEAST_COSINE} are asked for"


def first_step(learner: Learner, batch: Batch) -> Learnt:
    """Return loss and gradients without moving any weight."""
    loss = learner.loss(batch)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = {name: weight.grad.cpu() for name, weight in learner.weights.items() if weight.grad is not None}
    learner.adamw.zero_grad()
    return loss.item(), gradients


def compared(ours: Learnt, plain: Learnt) -> Gate:
    """Compare with the plain way; what ours trains beside, such as gates of sparse attention, has no counterpart."""
    products = torch.zeros(3, dtype=torch.float64)
    for name, theirs in plain[1].items():
        one, other = ours[1][name].float(), theirs.float()
        products += torch.stack([(one * other).sum(), (one * one).sum(), (other * other).sum()]).double()
    between, of_ours, of_plain = products.tolist()
    return Gate(abs(ours[0] - plain[0]) / abs(plain[0]), between / math.sqrt(of_ours * of_plain))
