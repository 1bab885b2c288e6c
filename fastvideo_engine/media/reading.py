"""Decode chosen frames of a video with PyAV, whose wheels carry their own FFmpeg."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame

from fastvideo_engine.errors import ClipError
from fastvideo_engine.media.opening import opened_video
from fastvideo_engine.media.probing import ClipFacts
from fastvideo_engine.media.stills import is_still, over_white, read_still

_WORTH_A_SEEK = 100
# Their index tells each frame's time; others guess at it, and a frame's time must tell its number.
_WITH_AN_INDEX = ("mp4", "webm")


def read_rgb_frames(path: Path, indices: Sequence[int], facts: ClipFacts | None = None) -> np.ndarray:
    """Read frames by their number in showing order, as THWC uint8; numbers may repeat but not fall.

    Decoding stops at the last one asked for; with the file's facts it also begins near the first one. Raises
    `ClipError` when the file is damaged in between or ends there.
    """
    wanted = set(indices)
    found: dict[int, np.ndarray] = {}
    for number, frame in takewhile(lambda each: each[0] <= max(wanted), _numbered(path, min(wanted), facts)):
        if number in wanted:
            found[number] = rgb(frame) if isinstance(frame, VideoFrame) else frame
        if number == max(wanted):
            break
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
            yield _undamaged(frame, number)


def rgb(frame: VideoFrame) -> np.ndarray:
    """Return a frame as HWC uint8, turned the way its file says it is watched; what is transparent becomes white."""
    has_alpha = any(component.is_alpha for component in frame.format.components)
    pixels = over_white(frame.to_ndarray(format="rgba")) if has_alpha else frame.to_ndarray(format="rgb24")
    quarter_turns = round(frame.rotation / 90)
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns)) if quarter_turns else pixels


def _numbered(path: Path, first: int, facts: ClipFacts | None) -> Iterator[tuple[int, VideoFrame | np.ndarray]]:
    if is_still(path):
        yield 0, read_still(path)
    elif facts is None or first < _WORTH_A_SEEK or facts.container not in _WITH_AN_INDEX:
        yield from enumerate(decoded_frames(path))
    else:
        yield from _numbered_from(path, first, facts)


def _numbered_from(path: Path, first: int, facts: ClipFacts) -> Iterator[tuple[int, VideoFrame]]:
    """Decode from the key frame before `first` on, each frame with the number that its own time tells."""
    came_too_late = False
    with opened_video(path) as (container, stream):
        time = facts.starts_at + (facts.timestamps[first] if facts.timestamps else first / facts.fps)
        assert stream.time_base is not None, "a stream that was probed has one"
        container.seek(int(time / stream.time_base), stream=stream)
        has_key = False
        for frame in container.decode(stream):
            has_key = has_key or frame.key_frame
            if not has_key:  # it leans on frames from before the key frame, which were not decoded
                continue
            number = _number_at((frame.time or 0.0) - facts.starts_at, facts)
            came_too_late = came_too_late or number > first
            if came_too_late:
                break
            yield number, _undamaged(frame, number)
            first = max(first, number + 1)
    if came_too_late:  # some containers seek past the key frame; going through from the start is always right
        yield from enumerate(decoded_frames(path))


def _number_at(time: float, facts: ClipFacts) -> int:
    if not facts.timestamps:
        return round(time * facts.fps)
    after = bisect_left(facts.timestamps, time - 1e-6)
    return min(after, len(facts.timestamps) - 1)


def _undamaged(frame: VideoFrame, number: int) -> VideoFrame:
    # FFmpeg paints over what it could not decode and goes on; a model would learn the smear.
    if frame.is_corrupt:
        raise ClipError(f"The file is damaged: frame {number} cannot be decoded.")
    return frame
