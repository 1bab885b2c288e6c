"""Write videos that every browser plays: H.264 in MP4, with the index at the front."""

import os
from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame

from fastvideo_engine.errors import StorageError
from fastvideo_engine.media.probing import probe
from fastvideo_engine.media.reading import decoded_frames, rgb
from fastvideo_engine.media.stills import read_still

_CRF = "18"  # x264 calls 17 to 18 visually lossless
# Sizes and lengths in the file come first, so that playing starts before the whole is fetched.
_MUXER = {"movflags": "faststart+use_metadata_tags"}


def write_mp4(path: Path, frames: Iterable[np.ndarray], fps: float, metadata: Mapping[str, str]) -> None:
    """Write RGB frames, each HWC uint8 (so THWC as a whole), as H.264; the file appears whole or not at all.

    A side of odd length gets its last row or column twice, since 4:2:0 colour needs even sides.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _encode(beside, frames, fps, metadata)
        beside.replace(path)
    except av.error.FFmpegError as error:
        raise StorageError(f"{path.name} cannot be written ({error.strerror}); see that the disk has room.") from None
    finally:
        beside.unlink(missing_ok=True)


def write_proxy(video: Path, mp4: Path) -> None:
    """Write a copy that browsers play, for watching only; raise `ClipError` when the video cannot be read."""
    facts = probe(video)
    pictures = [read_still(video)] if facts.is_still else map(rgb, decoded_frames(video))
    write_mp4(mp4, pictures, facts.fps, {})


def _encode(path: Path, frames: Iterable[np.ndarray], fps: float, metadata: Mapping[str, str]) -> None:
    upcoming = iter(frames)
    first = next(upcoming)
    with av.open(str(path), "w", format="mp4", options=_MUXER) as container:
        container.metadata.update(metadata)
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options={"crf": _CRF})
        stream.height, stream.width = (side + side % 2 for side in first.shape[:2])
        stream.pix_fmt = "yuv420p"
        for pixels in chain([first], upcoming):
            container.mux(stream.encode(VideoFrame.from_ndarray(_with_even_sides(pixels), format="rgb24")))
        container.mux(stream.encode(None))


def _with_even_sides(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(pixels)
