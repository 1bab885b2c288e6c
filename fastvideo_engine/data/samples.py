"""Turn batches of frames into samples, with a model's VAE and whatever else it reads of a clip."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from fastvideo_engine import __version__
from fastvideo_engine.clip_rules import Shape
from fastvideo_engine.components import load_vae, vae_fingerprint
from fastvideo_engine.data.conditioning import ImageConditioner
from fastvideo_engine.data.encoder import encode_clip
from fastvideo_engine.data.fitting import model_of
from fastvideo_engine.data.parquet import FirstFrame, Origin, Provenance, Sample
from fastvideo_engine.data.stages import timed
from fastvideo_engine.data.videos import Part
from fastvideo_engine.families import Family, family_of_folder
from fastvideo_engine.specs.preprocess import PreprocessSpec


@dataclass(frozen=True)
class Encoder:
    """A VAE, and for image to video what encodes first frames."""

    spec: PreprocessSpec
    family: Family
    vae: AutoencoderKLWan
    fingerprint: str
    conditioner: ImageConditioner | None

    @classmethod
    def of(cls, spec: PreprocessSpec, device: torch.device) -> Self:
        """Load what a spec's workload needs of its model."""
        folder = model_of(spec)
        family = family_of_folder(folder)
        vae = load_vae(folder, device, getattr(torch, spec.encoding.vae_precision))
        conditioner = ImageConditioner.of_model(folder, family, device) if spec.workload == "i2v" else None
        return cls(spec, family, vae, vae_fingerprint(folder), conditioner)

    def encoded(
        self, batch: Sequence[Part], embedding_of: Callable[[str], np.ndarray]
    ) -> Iterator[tuple[Part, Sample, Provenance]]:
        """Encode clips of one shape together; yield a sample for each, and what it was made with."""
        if not batch:
            return
        frames = torch.stack([part.frames.transpose(0, 1) for part in batch]).to(self.vae.device)
        # The mean, not a draw: FastVideo stores it raw, and the trainer normalises it.
        with timed("encode"):
            latents = encode_clip(self.vae, frames).float().cpu()
        provenance = self._provenance(batch[0].cut.shape)
        for part, latent in zip(batch, latents, strict=True):
            yield part, self._sample(part, latent, embedding_of(part.video.clip.text)), provenance

    def _sample(self, part: Part, latent: Tensor, text: np.ndarray) -> Sample:
        clip, facts, cut = part.video.clip, part.video.facts, part.cut
        conditioner = self.conditioner
        origin = Origin(part.video.content, facts.frames, cut.frames, self._bucket(cut.shape))
        return Sample(
            id=cut.id,
            file_name=clip.name,
            caption=clip.text,
            vae_latent=latent.numpy(),
            text_embedding=text,
            width=cut.shape.width,
            height=cut.shape.height,
            # FastVideo divides the frames taken by the source's own rate; readers of its Parquet expect that number.
            duration_seconds=len(cut.frames) / facts.fps,
            source_fps=facts.fps,
            origin=origin,
            first_frame=FirstFrame() if conditioner is None else conditioner.encode(part.frames, self.vae),
        )

    def _bucket(self, shape: Shape) -> str:
        # Short clips that are let in have a shape of their own: among others no trainer could batch them.
        lets_short_ones_in = self.spec.selection.drop_short_ratio < 1 and self.spec.parity == "none"
        if not self.spec.output.buckets and not lets_short_ones_in:
            return ""
        return f"{shape.frames}x{shape.height}x{shape.width}"

    def _provenance(self, shape: Shape) -> Provenance:
        return Provenance(
            model=self.spec.model,
            vae_fingerprint=self.fingerprint,
            train_fps=self.spec.fps,
            height=shape.height,
            width=shape.width,
            frames=shape.frames,
            engine_version=__version__,
            workload=self.spec.workload,
        )
