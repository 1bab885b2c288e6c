"""Turn prompts into video files with the model's own pipeline and sampler."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import WanImageToVideoPipeline, WanPipeline, WanTransformer3DModel
from torch import Tensor

from fastvideo_engine.components import encode_captions, load_scheduler, load_text_encoder, load_vae, padded
from fastvideo_engine.families import Family
from fastvideo_engine.media import write_mp4
from fastvideo_engine.sampling.images import FirstImage


class SamplingStopped(Exception):  # noqa: N818 (a wish that was granted, not an error)
    """The wish to stop was seen between two denoising steps."""


@dataclass(frozen=True)
class Look:
    """What decides a sampled video beside its prompt and the weights."""

    seed: int
    sampling_steps: int
    guidance_scale: float
    height: int
    width: int
    frames: int
    fps: float


@dataclass(frozen=True)
class EncodedPrompts:
    """Prompts and, as the transformer takes them, their embeddings 1LD; the last embedding is the negative prompt's."""

    prompts: Sequence[str]
    embeddings: Sequence[Tensor]


@dataclass(frozen=True)
class Sampler:
    """Everything that it takes to sample a prompt; of the images there is one for each prompt, one for all, or none."""

    pipeline: WanPipeline | WanImageToVideoPipeline
    prompts: EncodedPrompts
    look: Look
    images: Sequence[FirstImage] = ()

    def write(self, number: int, path: Path, stop_was_asked: Callable[[], bool]) -> None:
        """Sample one prompt into a video file; raise `SamplingStopped` if asked to stop meanwhile."""
        frames = self.frames(number, stop_was_asked)
        facts = self.facts(number)
        write_mp4(path, frames, self.look.fps, {"title": facts["prompt"], "comment": json.dumps(facts)})

    def facts(self, number: int) -> dict[str, Any]:
        """Say all that is needed to sample the same video again."""
        image = self._image(number)
        beginning = {} if image is None else {"image": image.path}
        return {"prompt": self.prompts.prompts[number], "prompt_number": number, **beginning, **asdict(self.look)}

    def frames(self, number: int, stop_was_asked: Callable[[], bool]) -> np.ndarray:
        """Sample one prompt as frames THWC uint8; raise `SamplingStopped` if asked to stop meanwhile."""

        def leave_when_asked(_pipeline: Any, _step: int, _timestep: Tensor, state: dict[str, Any]) -> dict[str, Any]:
            if stop_was_asked():
                raise SamplingStopped
            return state

        device = self.pipeline.transformer.device
        video: np.ndarray = self.pipeline(
            prompt_embeds=self.prompts.embeddings[number].to(device),
            negative_prompt_embeds=self.prompts.embeddings[-1].to(device),
            height=self.look.height,
            width=self.look.width,
            num_frames=self.look.frames,
            num_inference_steps=self.look.sampling_steps,
            guidance_scale=self.look.guidance_scale,
            # On the CPU, and anew for each video: the same noise at every step of a run and on every machine.
            generator=torch.Generator().manual_seed(self.look.seed),
            callback_on_step_end=leave_when_asked,
            output_type="np",
            **self._beginning(number),
        ).frames[0]
        return (video * 255).round().astype(np.uint8)

    def _beginning(self, number: int) -> dict[str, Any]:
        image = self._image(number)
        if image is None:
            return {}
        if image.seen is not None:
            # The pipeline takes the picture or CLIP's features, not both; CLIP itself is gone from memory.
            seen = image.seen.to(self.pipeline.transformer.device)
            self.pipeline.encode_image = lambda *_: seen
        return {"image": image.picture}

    def _image(self, number: int) -> FirstImage | None:
        return self.images[number % len(self.images)] if self.images else None


def encode_prompts(
    prompts: Sequence[str], negative_prompt: str, model: Path, family: Family, device: torch.device
) -> EncodedPrompts:
    """Encode prompts with the model's text encoder, which is gone from memory when this returns."""
    tokenizer, encoder = load_text_encoder(model, device)
    encoded = encode_captions([*prompts, negative_prompt], tokenizer, encoder, family.text_length)
    del encoder
    torch.cuda.empty_cache()  # it is larger than most transformers, which come next
    return EncodedPrompts(prompts, [padded(text, family.text_length).unsqueeze(0) for text in encoded])


def new_pipeline(
    model: Path, family: Family, transformer: WanTransformer3DModel, flow_shift: float | None, from_images: bool
) -> WanPipeline | WanImageToVideoPipeline:
    """Put the model's pipeline around a transformer in use, without the encoders."""
    kind = WanImageToVideoPipeline if from_images else WanPipeline
    pipeline = kind(
        tokenizer=None,
        text_encoder=None,
        vae=load_vae(model, transformer.device),
        scheduler=load_scheduler(model, flow_shift),
        transformer=transformer,
        expand_timesteps=family.keeps_first_frame,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
