"""What an adapter is, whichever tool wrote it: low-rank changes of layers, and whole changes of small parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from fastvideo_engine.errors import ModelError


@dataclass(frozen=True)
class LowRank:
    """The change up @ down of a linear layer's weight; `up` is already multiplied by alpha / rank."""

    down: Tensor
    """Rank x inputs."""
    up: Tensor
    """Outputs x rank."""
    magnitude: Tensor | None = None
    """With DoRA (Liu et al., 2024, arXiv:2402.09353), how long each row of the changed weight is."""

    @property
    def shape(self) -> tuple[int, int]:
        return self.up.shape[0], self.down.shape[1]

    def on(self, weight: Tensor, strength: float) -> Tensor:
        """Return the changed weight in float32; as peft does, DoRA's strength is that of the change before scaling."""
        up, down = (matrix.to(weight.device, torch.float32) for matrix in (self.up, self.down))
        changed = torch.addmm(weight.float(), up, down, alpha=strength)
        if self.magnitude is None or strength == 0:
            return changed
        magnitude = self.magnitude.to(weight.device, torch.float32)
        length: Tensor = torch.linalg.vector_norm(changed, dim=1, keepdim=True)
        return changed * magnitude.unsqueeze(1) / length


@dataclass(frozen=True)
class Adapter:
    """A change to one transformer, by diffusers' names."""

    layers: Mapping[str, LowRank]
    differences: Mapping[str, Tensor] = field(default_factory=dict)
    """What is added to whole parameters: biases, norms, tables."""
    gates: Mapping[str, Tensor] = field(default_factory=dict)
    """Sparse attention's own parameters by FastVideo's names, whole: the base has none that they could change."""
    notices: tuple[str, ...] = ()
    """What its reader should be told."""

    @property
    def count(self) -> int:
        """How many weights it changes."""
        return len(self.layers) + len(self.differences) + len(self.gates)


def check_fits(adapter: Adapter, shapes: Mapping[str, tuple[int, ...]], file: Path) -> None:
    """Raise `ModelError` unless every change of an adapter has its place among parameters of these shapes."""
    needed: dict[str, tuple[int, ...]] = {f"{name}.weight": layer.shape for name, layer in adapter.layers.items()}
    needed |= {name: tuple(tensor.shape) for name, tensor in adapter.differences.items()}
    misfits = [name for name, shape in needed.items() if shapes.get(name) != shape]
    if misfits:
        raise ModelError(
            f"{file} was not made for this model ({len(misfits)} of its {len(needed)} weights do not fit, such as "
            f"{misfits[0]}); choose the base model that it was trained on."
        )
