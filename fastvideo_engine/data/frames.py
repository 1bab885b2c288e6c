"""Plan the training clips of a video, read their frames, and bring them to the size of the training run."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from fastvideo_engine.clip_rules import Cut, cuts_of
from fastvideo_engine.data.sources import Clip
from fastvideo_engine.errors import ClipError
from fastvideo_engine.families import Family
from fastvideo_engine.media import ClipFacts, probe, read_rgb_frames, scene_starts
from fastvideo_engine.media.reading import decoded_frames
from fastvideo_engine.specs.preprocess import PreprocessSpec

try:
    from torchcodec.decoders import VideoDecoder
except (ImportError, OSError, RuntimeError):  # its wheels link to FFmpeg's libraries, which a machine may lack
    VideoDecoder = None


def plan(file: Path, clip: Clip, spec: PreprocessSpec, family: Family) -> tuple[ClipFacts, list[Cut]]:
    """Look at a clip's file and say which training clips it gives; raise `ClipError` with the reason when none.

    Each can be read by itself and in any order. Safe in threads; only looking for scenes decodes more than a frame.
    """
    facts = probe(file)
    looks_for_scenes = spec.selection.long_clips == "scenes" and not facts.is_still
    starts = scene_starts(file, spec.selection.scene_threshold) if looks_for_scenes else []
    return facts, cuts_of(clip.id, clip.caption, facts, spec, family, starts)


def read_cut(file: Path, facts: ClipFacts, cut: Cut, spec: PreprocessSpec) -> Tensor:
    """Read one training clip as TCHW uint8 of its shape; raise `ClipError` when the file is damaged.

    Safe in threads.
    """
    frames = read_frames(file, cut.frames, spec.decoding.decoder, facts)
    return cropped_and_resized(frames, cut.shape.height, cut.shape.width, spec.parity, facts.pixel_aspect)


def read_frames(
    path: Path, indices: Sequence[int], decoder: str = "automatic", facts: ClipFacts | None = None
) -> Tensor:
    """Read frames by their number in showing order, as TCHW uint8; raise `ClipError` when the file is damaged."""
    # Both give the same pixels. PyAV is the automatic choice because it reads and looks for damage in one pass:
    # torchcodec hands out what FFmpeg painted over a damaged frame and does not tell. What is turned or a picture is
    # PyAV's and Pillow's affair.
    is_unusual = facts is not None and (facts.is_still or facts.is_turned)
    if decoder != "torchcodec" or VideoDecoder is None or is_unusual:
        return torch.from_numpy(read_rgb_frames(path, indices, facts)).permute(0, 3, 1, 2)
    for _ in islice(decoded_frames(path), max(indices) + 1):
        pass
    try:
        frames: Tensor = VideoDecoder(path).get_frames_at(list(indices)).data
    except (RuntimeError, IndexError, ValueError) as error:
        raise ClipError(f"The file cannot be decoded ({str(error).splitlines()[0]}).") from None
    return frames


def cropped_and_resized(
    frames: Tensor, height: int, width: int, parity: str = "none", pixel_aspect: float = 1.0
) -> Tensor:
    """Cut the middle of TCHW uint8 frames to the shape of height x width, then resize it to that size.

    Pixels that are not square are made so. In parity with FastVideo they are not, and the roundings and
    `align_corners` are its own, so that both train on the same pixels; it stretches the picture by half a pixel at
    each border, which is why it is not the default.
    """
    is_fastvideo = parity == "fastvideo"
    whole = int if is_fastvideo else round
    old_height, old_width = frames.shape[-2:]
    ratio = height / width if is_fastvideo else height / width * pixel_aspect
    if old_height / old_width > ratio:
        cut_height, cut_width = max(1, whole(old_width * ratio)), old_width
    else:
        cut_height, cut_width = old_height, max(1, whole(old_height / ratio))
    top, left = round((old_height - cut_height) / 2), round((old_width - cut_width) / 2)
    cut = frames[..., top : top + cut_height, left : left + cut_width]
    if not is_fastvideo and (cut_height, cut_width) == (height, width):
        return cut.contiguous()
    return functional.interpolate(
        cut, size=(height, width), mode="bilinear", align_corners=is_fastvideo, antialias=True
    )


def as_vae_input(frames: Tensor) -> Tensor:
    """Turn TCHW uint8 frames into the float32 BCTHW between -1 and 1 that a VAE takes."""
    video = frames.permute(1, 0, 2, 3).unsqueeze(0).float() / 255
    return (video * 2 - 1).clamp(-1, 1)
