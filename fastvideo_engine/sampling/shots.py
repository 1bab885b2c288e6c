"""What a video to be sampled is to show and to begin with, and all of that as the transformer takes it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from fastvideo_engine.components import encode_captions, load_text_encoder, padded
from fastvideo_engine.families import Family
from fastvideo_engine.sampling.images import FirstImage, check_images, read_first_images


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
    image: str | None = None
    """The file of the picture, or of the video, that it begins with."""


@dataclass(frozen=True)
class Shot:
    """A video to be sampled."""

    prompt: str
    look: Look


@dataclass(frozen=True)
class EncodedShot:
    """A shot as the transformer takes it: the embeddings 1LD of its prompt and negative prompt, and its picture."""

    prompt: str
    look: Look
    embedding: Tensor
    negative_embedding: Tensor
    image: FirstImage | None


def one_shot_a_prompt(prompts: Sequence[str], images: Sequence[str], look: Look) -> list[Shot]:
    """Give each prompt the same look, and its own picture, or the one for all, where there are pictures."""
    beginnings = [images[number % len(images)] for number in range(len(prompts))] if images else [None] * len(prompts)
    return [Shot(prompt, replace(look, image=image)) for prompt, image in zip(prompts, beginnings, strict=True)]


def encode_shots(
    shots: Sequence[Shot], negative_prompt: str, model: Path, family: Family, device: torch.device
) -> list[EncodedShot]:
    """Read the shots' pictures and encode all that the transformer takes; the encoders are gone when this returns.

    Raises `SpecError` where the pictures are not what the family begins with.
    """
    paths = [shot.look.image for shot in shots if shot.look.image is not None]
    check_images(family, paths)
    images: Sequence[FirstImage | None] = [None] * len(shots)
    if paths:  # specs give all shots a picture, or none
        sizes = [(shot.look.height, shot.look.width) for shot in shots]
        images = read_first_images(list(zip(paths, sizes, strict=True)), model, family, device)
    *embeddings, negative = encode_prompts([*(shot.prompt for shot in shots), negative_prompt], model, family, device)
    return [
        EncodedShot(shot.prompt, shot.look, embedding, negative, image)
        for shot, embedding, image in zip(shots, embeddings, images, strict=True)
    ]


def encode_prompts(prompts: Sequence[str], model: Path, family: Family, device: torch.device) -> list[Tensor]:
    """Encode prompts to 1LD with the model's text encoder, which is gone from memory when this returns."""
    tokenizer, encoder = load_text_encoder(model, device)
    encoded = encode_captions(prompts, tokenizer, encoder, family.text_length)
    del encoder
    torch.cuda.empty_cache()  # it is larger than most transformers, which come next
    return [padded(text, family.text_length).unsqueeze(0) for text in encoded]
