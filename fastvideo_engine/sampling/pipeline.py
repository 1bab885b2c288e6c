"""Turn prompts into video files with the model's own pipeline and sampler."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from diffusers import WanImageToVideoPipeline, WanPipeline, WanTransformer3DModel
from torch import Tensor

from fastvideo_engine.components import load_scheduler, load_vae
from fastvideo_engine.families import Family
from fastvideo_engine.media import write_mp4
from fastvideo_engine.sampling.images import FirstImage
from fastvideo_engine.sampling.shots import EncodedShot


class SamplingStopped(Exception):  # noqa: N818 (a wish that was granted, not an error)
    """The wish to stop was seen between two denoising steps."""


@dataclass(frozen=True)
class Sampler:
    """Everything that it takes to sample some shots."""

    pipeline: WanPipeline | WanImageToVideoPipeline
    shots: Sequence[EncodedShot]
    weights: Mapping[str, Any] = field(default_factory=dict)
    """What is to be told of the weights that it samples from."""

    def with_seed(self, seed: int) -> Self:
        """Return what samples the same shots from other noise."""
        return replace(self, shots=[replace(shot, look=replace(shot.look, seed=seed)) for shot in self.shots])

    def write(self, number: int, path: Path, stop_was_asked: Callable[[], bool]) -> None:
        """Sample one shot into a video file; raise `SamplingStopped` if asked to stop meanwhile."""
        frames = self.frames(number, stop_was_asked)
        facts = self.facts(number)
        write_mp4(path, frames, facts["fps"], {"title": facts["prompt"], "comment": json.dumps(facts)})

    def facts(self, number: int) -> dict[str, Any]:
        """Say all that is needed to sample the same video again."""
        shot = self.shots[number]
        look = {name: value for name, value in asdict(shot.look).items() if value is not None}
        return {"prompt": shot.prompt, "prompt_number": number, **look, **self.weights}

    def frames(self, number: int, stop_was_asked: Callable[[], bool]) -> np.ndarray:
        """Sample one shot as frames THWC uint8; raise `SamplingStopped` if asked to stop meanwhile."""

        def leave_when_asked(_pipeline: Any, _step: int, _timestep: Tensor, state: dict[str, Any]) -> dict[str, Any]:
            if stop_was_asked():
                raise SamplingStopped
            return state

        shot, device = self.shots[number], self.pipeline.vae.device  # a transformer's weights may be kept elsewhere
        look = shot.look
        video: np.ndarray = self.pipeline(
            prompt_embeds=shot.embedding.to(device),
            negative_prompt_embeds=shot.negative_embedding.to(device),
            height=look.height,
            width=look.width,
            num_frames=look.frames,
            num_inference_steps=look.sampling_steps,
            guidance_scale=look.guidance_scale,
            # On the CPU, and anew for each video: the same noise at every step of a run and on every machine.
            generator=torch.Generator().manual_seed(look.seed),
            callback_on_step_end=leave_when_asked,
            output_type="np",
            **self._beginning(shot.image),
        ).frames[0]
        return (video * 255).round().astype(np.uint8)

    def _beginning(self, image: FirstImage | None) -> dict[str, Any]:
        if image is None:
            return {}
        if image.seen is not None:
            # The pipeline takes the picture or CLIP's features, not both; CLIP itself is gone from memory.
            seen = image.seen.to(self.pipeline.vae.device)
            self.pipeline.encode_image = lambda *_: seen
        return {"image": image.picture}


def new_pipeline(
    model: Path,
    family: Family,
    transformers: Mapping[str, WanTransformer3DModel],
    flow_shift: float | None,
    from_images: bool,
    device: torch.device,
) -> WanPipeline | WanImageToVideoPipeline:
    """Put the model's pipeline around all its transformers, which are in use, without the encoders."""
    kind = WanImageToVideoPipeline if from_images else WanPipeline
    pipeline = kind(
        tokenizer=None,
        text_encoder=None,
        vae=load_vae(model, device),
        scheduler=load_scheduler(model, flow_shift),
        **transformers,
        boundary_ratio=family.expert_boundary,
        expand_timesteps=family.keeps_first_frame,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
