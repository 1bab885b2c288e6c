"""What each step learns from, as a pure function of the step, so that a resumed run goes on with the same clips."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fastvideo_engine.components import padded
from fastvideo_engine.data.loader import ParquetClips, clip_at
from fastvideo_engine.distributed import Ranks
from fastvideo_engine.families import Family
from fastvideo_engine.training.flow_matching import Batch, drawn_noise, first_frame_channels


@dataclass(frozen=True)
class Batches:
    """The batches of one process; all processes together take the run's samples in order."""

    clips: ParquetClips
    family: Family
    mean_std: tuple[Tensor, Tensor]
    sigmas: Tensor
    batch_size: int
    seed: int
    ranks: Ranks

    def at(self, step: int) -> Batch:
        """Read and draw the batch of a step, counted from 1."""
        first = ((step - 1) * self.ranks.world_size + self.ranks.rank) * self.batch_size
        positions = range(first, first + self.batch_size)
        clips = [self.clips.read(clip_at(position, len(self.clips), self.seed)) for position in positions]
        drawn = [drawn_noise(position, self.seed, self.clips.latent_shape, self.sigmas) for position in positions]
        noise, sigma = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        mean, std = self.mean_std
        latents = torch.stack([clip.latent for clip in clips])
        text = torch.stack([padded(clip.text, self.family.text_length) for clip in clips])
        seen = _stacked([clip.clip_feature for clip in clips])
        first_frame = _stacked([clip.first_frame_latent for clip in clips])
        channels = None if first_frame is None else first_frame_channels(first_frame, self.family.frame_stride)
        return Batch((latents - mean) / std, text, noise, sigma, channels, seen).to(self.ranks.device)


def _stacked(tensors: list[Tensor | None]) -> Tensor | None:
    there = [tensor for tensor in tensors if tensor is not None]
    return torch.stack(there) if there else None
