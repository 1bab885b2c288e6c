"""Read the chosen frames of a clip and bring them to the size of the training run."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from fastvideo_engine.errors import ClipError
from fastvideo_engine.media import read_rgb_frames
from fastvideo_engine.media.reading import decoded_frames

try:
    from torchcodec.decoders import VideoDecoder
except (ImportError, OSError, RuntimeError):  # its wheels link to FFmpeg's libraries, which a machine may lack
    VideoDecoder = None


def read_frames(path: Path, indices: Sequence[int]) -> Tensor:
    """Read frames by their number in showing order, as TCHW uint8; raise `ClipError` when the file is damaged."""
    if VideoDecoder is None:
        return torch.from_numpy(read_rgb_frames(path, indices)).permute(0, 3, 1, 2)
    # torchcodec hands out what FFmpeg painted over a damaged frame and does not tell; PyAV tells.
    for _ in islice(decoded_frames(path), max(indices) + 1):
        pass
    try:
        frames: Tensor = VideoDecoder(path).get_frames_at(list(indices)).data
    except (RuntimeError, IndexError, ValueError) as error:
        raise ClipError(f"The file cannot be decoded ({str(error).splitlines()[0]}).") from None
    return frames


def cropped_and_resized(frames: Tensor, height: int, width: int) -> Tensor:
    """Cut the middle of TCHW uint8 frames to the shape of height x width, then resize it to that size."""
    # Roundings and align_corners are FastVideo's, so that both train on the same pixels.
    old_height, old_width = frames.shape[-2:]
    ratio = height / width
    if old_height / old_width > ratio:
        cut_height, cut_width = max(1, int(old_width * ratio)), old_width
    else:
        cut_height, cut_width = old_height, max(1, int(old_height / ratio))
    top, left = round((old_height - cut_height) / 2), round((old_width - cut_width) / 2)
    cut = frames[..., top : top + cut_height, left : left + cut_width]
    return functional.interpolate(cut, size=(height, width), mode="bilinear", align_corners=True, antialias=True)


def as_vae_input(frames: Tensor) -> Tensor:
    """Turn TCHW uint8 frames into the float32 BCTHW between -1 and 1 that a VAE takes."""
    video = frames.permute(1, 0, 2, 3).unsqueeze(0).float() / 255
    return (video * 2 - 1).clamp(-1, 1)
