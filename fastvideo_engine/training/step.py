"""One optimizer step: the gradients of its batches, and the move along them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from fastvideo_engine.distributed import Ranks
from fastvideo_engine.seeds import generator_of
from fastvideo_engine.specs.train import TrainSpec
from fastvideo_engine.training.flow_matching import Batch, flow_matching_loss
from fastvideo_engine.training.optimizer import learning_rate_at, take_step
from fastvideo_engine.training.trained import Trained


@dataclass(frozen=True)
class Learnt:
    """What a step had to tell: the loss over all processes, the gradient's norm before it was bounded, and the rate."""

    loss: float
    gradient_norm: float
    learning_rate: float

    @property
    def moved_the_weights(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm)


def learn(trained: Trained, batches: Iterable[Batch], step: int, spec: TrainSpec, ranks: Ranks) -> Learnt:
    """Move the weights along the mean gradient of a step's batches; a loss or gradient that is no number moves none."""
    # What a layer may draw, such as dropout, is a function of the step too.
    torch.manual_seed(generator_of("layers", spec.seed, step, ranks.rank).initial_seed())
    loss = ranks.average(_with_gradients(trained, batches, spec.gradient_accumulation)).item()
    rate = learning_rate_at(step, spec.optimizer, spec.steps)
    if not math.isfinite(loss):
        trained.adamw.zero_grad()
        return Learnt(loss, math.nan, rate)
    learnt = Learnt(loss, take_step(trained.adamw, rate, spec.optimizer.max_gradient_norm, ranks), rate)
    if trained.average is not None and learnt.moved_the_weights:
        trained.average.follow(trained.weights, step)
    return learnt


def _with_gradients(trained: Trained, batches: Iterable[Batch], count: int) -> Tensor:
    """Add up the gradients of so many batches, each counting alike, and return their mean loss."""
    losses = []
    for batch in batches:
        loss = flow_matching_loss(trained.transformers[batch.part], batch) / count
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    return torch.stack(losses).sum()
