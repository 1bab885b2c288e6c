"""What each step learns from, as a pure function of the step, so that a resumed run goes on with the same clips."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fastvideo_engine.components import padded
from fastvideo_engine.data.ahead import worked_ahead
from fastvideo_engine.data.loader import EncodedClip
from fastvideo_engine.data.mixing import Mixture
from fastvideo_engine.data.recent import RecentClips
from fastvideo_engine.distributed import Ranks
from fastvideo_engine.families import Family
from fastvideo_engine.specs.train import TrainSpec
from fastvideo_engine.training.flow_matching import (
    Batch,
    caption_is_dropped,
    drawn_noise,
    drawn_part,
    first_frame_channels,
)


@dataclass(frozen=True)
class Batches:
    """The batches of one process; all processes together take the run's samples in order."""

    clips: RecentClips
    order: Mixture
    family: Family
    mean_std: tuple[Tensor, Tensor]
    sigmas: Mapping[str, Tensor]
    """The noise levels of each transformer that is trained."""
    empty_caption: Tensor | None
    """The padded embedding LD of the empty caption, where captions may be dropped."""
    spec: TrainSpec
    ranks: Ranks

    def from_step(self, step: int) -> Iterator[Batch]:
        """Go through the batches from the first one of a step on, reading ahead."""
        first, end = ((at - 1) * self.spec.gradient_accumulation for at in (step, self.spec.steps + 1))
        for _, batch in worked_ahead(self.at, range(first, end), threads=1):
            yield batch()

    def at(self, number: int) -> Batch:
        """Read and draw the batch of a number, counted from 0 over all steps and their parts."""
        seed, size = self.spec.seed, self.spec.batch_size
        # Clips of one size in all processes: none waits for another's larger ones, and their number changes nothing.
        together, own = size * self.ranks.readers, size * self.ranks.reader
        chosen = self.order.batch(number, together)[own : own + size]
        clips = [self.clips.read(clip) for clip in chosen]
        positions = range(number * together + own, number * together + own + size)
        # One for the whole batch, in all processes: a transformer takes it in one go, and it may be sharded.
        part = drawn_part(number, seed, self.sigmas, self.spec.flow)
        drawn = [
            drawn_noise(position, seed, tuple(clip.latent.shape), self.sigmas[part], self.spec.flow)
            for clip, position in zip(clips, positions, strict=True)
        ]
        texts = [self._text(clip.text, at) for clip, at in zip(clips, positions, strict=True)]
        return self.of(clips, texts, drawn, part)

    def of(
        self, clips: Sequence[EncodedClip], texts: Sequence[Tensor], drawn: Sequence[tuple[Tensor, Tensor]], part: str
    ) -> Batch:
        """Put clips together with the padded text, the noise and the noise level that each is to be learnt with."""
        mean, std = self.mean_std
        noise, sigma = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        latents = torch.stack([clip.latent for clip in clips])
        first_frame = _stacked([clip.first_frame_latent for clip in clips])
        return Batch(
            latents=(latents - mean) / std,
            text=torch.stack([*texts]),
            noise=noise,
            sigma=sigma,
            more_channels=None if first_frame is None else first_frame_channels(first_frame, self.family.frame_stride),
            seen=_stacked([clip.clip_feature for clip in clips]),
            first_frame_is_given=self._first_frame_is_given(),
            part=part,
        ).to(self.ranks.device)

    def _first_frame_is_given(self) -> bool:
        return self.family.keeps_first_frame and self.family.trained_for(self.spec.workload) == "i2v"

    def _text(self, caption: Tensor, position: int) -> Tensor:
        share = self.spec.flow.caption_dropout
        if self.empty_caption is not None and caption_is_dropped(position, self.spec.seed, share):
            return self.empty_caption
        return padded(caption, self.family.text_length)


def _stacked(tensors: list[Tensor | None]) -> Tensor | None:
    there = [tensor for tensor in tensors if tensor is not None]
    return torch.stack(there) if there else None
