"""The loss on clips that training never sees, always at the same noise, so that steps and runs can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from fastvideo_engine.components import padded
from fastvideo_engine.seeds import generator_of
from fastvideo_engine.training.batches import Batches
from fastvideo_engine.training.flow_matching import Batch, flow_matching_loss

_LEVELS = 4
"""Noise levels that each clip is judged at, spread evenly over those that a transformer is trained on."""


@dataclass(frozen=True)
class HeldOut:
    """The first few held-out clips, those of each size together."""

    batches: Batches
    clips: Sequence[Sequence[int]]

    @torch.no_grad()
    def loss(self, transformers: nn.ModuleDict) -> float:
        """Return the mean loss over clips and noise levels; the processes share the work and return the same."""
        ranks, size = self.batches.ranks, self.batches.spec.batch_size
        together = [
            samples[start : start + size]
            for samples in ([(clip, level) for clip in some for level in range(_LEVELS)] for some in self.clips)
            for start in range(0, len(samples), size)
        ]
        work = [(part, some) for part in self.batches.sigmas for some in together]
        total = torch.zeros((), dtype=torch.float64)
        for number in range(ranks.reader, -(-len(work) // ranks.readers) * ranks.readers, ranks.readers):
            # Where work runs out a process does some in vain: with sharded weights all must take part in each.
            part, some = work[min(number, len(work) - 1)]
            loss = flow_matching_loss(transformers[part], self._batch(part, some)).double().cpu()
            total += loss * len(some) * (number < len(work))
        mean = ranks.average(total.to(ranks.device, torch.float32)).item()
        return mean * ranks.readers / (sum(map(len, together)) * len(self.batches.sigmas))

    def _batch(self, part: str, samples: Sequence[tuple[int, int]]) -> Batch:
        batches, seed = self.batches, self.batches.spec.validation.seed
        clips = [batches.clips.read(clip) for clip, _ in samples]
        texts = [padded(clip.text, batches.family.text_length) for clip in clips]
        levels = batches.sigmas[part]
        drawn = [
            (
                torch.randn(clip.latent.shape, generator=generator_of("held out", seed, *sample)),
                levels[int((sample[1] + 0.5) / _LEVELS * len(levels))],
            )
            for clip, sample in zip(clips, samples, strict=True)
        ]
        return batches.of(clips, texts, drawn, part)
