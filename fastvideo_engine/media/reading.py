"""Decode chosen frames of a video with PyAV, whose wheels carry their own FFmpeg."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame

from fastvideo_engine.errors import ClipError
from fastvideo_engine.media.opening import opened_video


def read_rgb_frames(path: Path, indices: Sequence[int]) -> np.ndarray:
    """Read frames by their number in showing order, as THWC uint8; numbers may repeat but not fall.

    Decoding stops at the last one asked for. Raises `ClipError` when the file is damaged before it or ends there.
    """
    wanted = set(indices)
    found: dict[int, np.ndarray] = {}
    for number, frame in enumerate(islice(decoded_frames(path), max(wanted) + 1)):
        if number in wanted:
            found[number] = rgb(frame)
    missing = sorted(wanted - found.keys())
    if missing:
        raise ClipError(f"The file is damaged: frame {missing[0]} cannot be decoded.")
    if len({picture.shape for picture in found.values()}) > 1:
        raise ClipError("Its pictures change their size on the way.")
    return np.stack([found[index] for index in indices])


def decoded_frames(path: Path) -> Iterator[VideoFrame]:
    """Decode a video from its start; raise `ClipError` at the first frame that is damaged."""
    with opened_video(path) as (container, stream):
        for number, frame in enumerate(container.decode(stream)):
            # FFmpeg paints over what it could not decode and goes on; a model would learn the smear.
            if frame.is_corrupt:
                raise ClipError(f"The file is damaged: frame {number} cannot be decoded.")
            yield frame


def rgb(frame: VideoFrame) -> np.ndarray:
    """Return a frame as HWC uint8, turned the way its file says it is watched."""
    pixels = frame.to_ndarray(format="rgb24")
    quarter_turns = round(frame.rotation / 90)
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns)) if quarter_turns else pixels
