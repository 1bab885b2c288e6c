"""What each step learns from, as a pure function of the step, so that a resumed run goes on with the same clips."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fastvideo_engine.components import padded
from fastvideo_engine.data.loader import ParquetClips, clip_at
from fastvideo_engine.distributed import Ranks
from fastvideo_engine.training.flow_matching import Batch, drawn_noise


@dataclass(frozen=True)
class Batches:
    """The batches of one process; all processes together take the run's samples in order."""

    clips: ParquetClips
    mean_std: tuple[Tensor, Tensor]
    sigmas: Tensor
    text_length: int
    batch_size: int
    seed: int
    ranks: Ranks

    def at(self, step: int) -> Batch:
        """Read and draw the batch of a step, counted from 1."""
        first = ((step - 1) * self.ranks.world_size + self.ranks.rank) * self.batch_size
        samples = [self._sample(position) for position in range(first, first + self.batch_size)]
        latents, text, noise, sigma = (torch.stack(parts) for parts in zip(*samples, strict=True))
        mean, std = self.mean_std
        device = self.ranks.device
        return Batch(((latents - mean) / std).to(device), text.to(device), noise.to(device), sigma.to(device))

    def _sample(self, position: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        latent, text, _ = self.clips.read(clip_at(position, len(self.clips), self.seed))
        noise, sigma = drawn_noise(position, self.seed, self.clips.latent_shape, self.sigmas)
        return latent, padded(text, self.text_length), noise, sigma
