"""The pictures that image-to-video samples begin with, as the transformer is to know them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from fastvideo_engine.components import load_image_encoder
from fastvideo_engine.data.conditioning import clip_feature
from fastvideo_engine.data.frames import cropped_and_resized, read_frames
from fastvideo_engine.errors import ClipError, SpecError
from fastvideo_engine.families import Family


@dataclass(frozen=True)
class FirstImage:
    """A picture of the size of the video, and what CLIP sees in it (BLD) if the model asks."""

    picture: Image.Image
    seen: Tensor | None


def check_images(family: Family, images: Sequence[str]) -> None:
    """Raise `SpecError` unless a family makes videos from these images."""
    problem = family.images_problem(images)
    if problem is not None:
        raise SpecError(problem)


def read_first_images(
    wanted: Sequence[tuple[str, tuple[int, int]]], model: Path, family: Family, device: torch.device
) -> list[FirstImage]:
    """Read pictures, or the first frames of videos, each cut to a height and width as preprocessing does.

    The image encoder is gone from memory when this returns. Raises `SpecError` for a file that cannot be read.
    """
    frames = [read_first_frame(path, size) for path, size in wanted]
    if not frames:
        return []
    seen: list[Tensor | None] = [None] * len(frames)
    if family.has_image_encoder:
        encoder, preparation = load_image_encoder(model, device)
        seen = [clip_feature(frame, encoder, preparation).unsqueeze(0) for frame in frames]
        del encoder
        torch.cuda.empty_cache()
    pictures = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in frames]
    return [FirstImage(*each) for each in zip(pictures, seen, strict=True)]


def read_first_frame(path: str, size: tuple[int, int]) -> Tensor:
    """Read one picture as CHW uint8 of a height and width."""
    if not Path(path).is_file():
        raise SpecError(f"There is no image at {path}; check the path.")
    try:
        return cropped_and_resized(read_frames(Path(path), [0]), *size)[0]
    except ClipError as error:
        raise SpecError(f"The image {path} cannot be used: {str(error)[:1].lower()}{str(error)[1:]}") from None
