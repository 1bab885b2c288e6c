"""What a run trains, and what it shows of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fastvideo_engine.families import Family
from fastvideo_engine.training.average import MovingAverage


@dataclass(frozen=True)
class Trained:
    """The trained transformers of a model, the optimizer that moves their weights, and where asked for their average.

    Most models have one; each has the name of the model's part that it was loaded from.
    """

    family: Family
    transformers: nn.ModuleDict
    adamw: torch.optim.Optimizer
    average: MovingAverage | None = None

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        return trained_weights(self.transformers)

    @property
    def kept(self) -> dict[str, Mapping[str, Tensor]]:
        """Return all that must be there again when the run goes on, beside the optimizer."""
        return {"weights": self.weights, **({} if self.average is None else {"average": self.average.weights})}

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the transformers be what others shall see: averaged weights where there are any, and no dropout."""
        self.transformers.eval()
        if self.average is not None:
            self.average.swap(self.weights)
        try:
            yield
        finally:
            if self.average is not None:
                self.average.swap(self.weights)
            self.transformers.train()


def trained_weights(transformers: nn.ModuleDict) -> dict[str, nn.Parameter]:
    """Return what is trained of some transformers, by name."""
    named = transformers.named_parameters()
    return {weight_name(name): weight for name, weight in named if weight.requires_grad}


def weight_name(name: str) -> str:
    """Name a weight of the first transformer as diffusers does; the second's begins with its part's name."""
    return name.removeprefix("transformer.")
