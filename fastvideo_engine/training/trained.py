"""What a run trains, and what it shows of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from diffusers import WanTransformer3DModel
from torch import nn

from fastvideo_engine.families import Family
from fastvideo_engine.training.average import MovingAverage


@dataclass(frozen=True)
class Trained:
    """A transformer of a family, the optimizer that moves its trained weights, and where asked for their average."""

    family: Family
    transformer: WanTransformer3DModel
    adamw: torch.optim.AdamW
    average: MovingAverage | None = None

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        return trained_weights(self.transformer)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the transformer be what others shall see: averaged weights where there are any, and no dropout."""
        self.transformer.eval()
        if self.average is not None:
            self.average.swap(self.weights)
        try:
            yield
        finally:
            if self.average is not None:
                self.average.swap(self.weights)
            self.transformer.train()


def trained_weights(transformer: nn.Module) -> dict[str, nn.Parameter]:
    """Return what is trained of a transformer, by name."""
    return {name: weight for name, weight in transformer.named_parameters() if weight.requires_grad}
