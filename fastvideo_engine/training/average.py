"""A moving average of the weights, which samples better than the weights of any one step."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class MovingAverage:
    """The average of what is trained, by name, and how slowly it follows."""

    weights: Mapping[str, Tensor]
    decay: float

    @torch.no_grad()
    def follow(self, trained: Mapping[str, Tensor], step: int) -> None:
        """Move towards the weights after a step; the first steps faster, or the start would weigh for long."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_([*self.weights.values()], [trained[name] for name in self.weights], share)

    @torch.no_grad()
    def swap(self, trained: Mapping[str, Tensor]) -> None:
        """Exchange the average and the weights, in place and one by one, so that it takes little memory."""
        for name, average in self.weights.items():
            kept = trained[name].clone()
            trained[name].copy_(average)
            average.copy_(kept)
