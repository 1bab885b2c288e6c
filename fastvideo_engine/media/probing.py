"""What a video file is: its size, pace and length, and whether browsers can show it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fastvideo_engine.errors import ClipError
from fastvideo_engine.media.opening import opened_video
from fastvideo_engine.media.stills import is_still, read_still

# Pixel formats and codecs that current Chromium, Firefox and Safari all decode, by container.
_IN_MP4 = {"h264", "av1", "vp9"}
_IN_WEBM = {"vp8", "vp9", "av1"}
_EIGHT_BIT_420 = {"yuv420p", "yuvj420p"}
_STILL = "still"


@dataclass(frozen=True)
class ClipFacts:
    """What a clip's file says and shows; width and height are as it is watched, so after rotation.

    `starts_at` is the first frame's own time; `timestamps`, in seconds from it on, are there only when the rate varies.
    `pixel_aspect` is a pixel's width by its height, which is not 1 in films of old cameras and discs.
    """

    width: int
    height: int
    fps: float
    frames: int
    duration_seconds: float
    codec: str
    pixel_format: str
    container: str = "mp4"
    timestamps: tuple[float, ...] = ()
    starts_at: float = 0.0
    is_turned: bool = False
    pixel_aspect: float = 1.0

    @property
    def is_still(self) -> bool:
        """A picture has a codec of its own, so that whoever keeps these facts keeps this one too."""
        return self.codec == _STILL


def probe(path: Path) -> ClipFacts:
    """Learn what a video file is, decoding one frame; raise `ClipError` with the reason when it cannot be used."""
    if is_still(path):
        return _facts_of_still(path)
    with opened_video(path) as (container, stream):
        _refuse_a_file_cut_short(path, stream)
        first = next(container.decode(stream), None)
        if first is None:
            raise ClipError("It has no frames.")
        rate = stream.average_rate or stream.guessed_rate
        if not rate:
            raise ClipError("It does not say how many frames a second it has.")
        frames, times = _frames_and_times(path, stream, float(rate))
        fps = (frames - 1) / times[-1] if times else float(rate)
        width, height = size_as_watched(first)
        return ClipFacts(
            width=width,
            height=height,
            fps=fps,
            frames=frames,
            duration_seconds=frames / fps,
            codec=stream.codec_context.name,
            pixel_format=first.format.name,
            container=_short_name(container),
            timestamps=times,
            starts_at=first.time or 0.0,
            is_turned=first.rotation % 360 != 0,
            pixel_aspect=_pixel_aspect(stream, first),
        )


def plays_in_browsers(facts: ClipFacts) -> bool:
    """Tell whether every current browser shows the file as it is."""
    codecs = {"mp4": _IN_MP4, "webm": _IN_WEBM}.get(facts.container, set())
    return facts.codec in codecs and facts.pixel_format in _EIGHT_BIT_420


def size_as_watched(frame: VideoFrame) -> tuple[int, int]:
    """Return width and height of a frame once it is turned the way its file says."""
    return (frame.height, frame.width) if frame.rotation % 180 else (frame.width, frame.height)


def _pixel_aspect(stream: VideoStream, first: VideoFrame) -> float:
    stated = float(stream.sample_aspect_ratio or 1)
    if not 0.25 <= stated <= 4:  # no camera has such pixels; whoever wrote it meant nothing by it
        return 1.0
    return 1 / stated if first.rotation % 180 else stated


def _facts_of_still(path: Path) -> ClipFacts:
    height, width = read_still(path).shape[:2]
    return ClipFacts(width, height, 1.0, 1, 0.0, _STILL, "rgb24", path.suffix.lstrip(".").lower())


def _frames_and_times(path: Path, stream: VideoStream, fps: float) -> tuple[int, tuple[float, ...]]:
    """Count the frames, and return their times from the first on where no steady rate says them all."""
    tick = float(stream.time_base or 0)
    # The index at the head of an MP4 has the times in decoding order, which shows an uneven rate as well.
    indexed = [entry.timestamp * tick for entry in stream.index_entries if not entry.is_discard]
    if len(indexed) == stream.frames > 0 and _is_steady(indexed, fps):
        return stream.frames, ()
    # What a header says of its frames is not always so; what is in the file is.
    with opened_video(path) as (container, again):
        packets = [packet.pts for packet in container.demux(again) if packet.size and not packet.is_discard]
    shown = sorted({pts * tick for pts in packets if pts is not None})
    # Some containers leave times out; then the rate that they state is all there is.
    if len(shown) < max(2, len(packets)) or _is_steady(shown, fps):
        return len(packets), ()
    return len(shown), tuple(time - shown[0] for time in shown)


def _is_steady(times: Sequence[float], fps: float) -> bool:
    """Tell whether no frame comes half a frame early or late; containers round their times, and that is no matter."""
    found = np.array(times)
    expected = found[0] + np.arange(len(found)) / fps
    return bool(np.abs(found - expected).max() < 0.5 / fps)


def _refuse_a_file_cut_short(path: Path, stream: VideoStream) -> None:
    # An index at the head of the file names every packet; reading one footer is cheaper than decoding to find out.
    last_byte = max((entry.pos + entry.size for entry in stream.index_entries if entry.pos >= 0), default=0)
    if last_byte > path.stat().st_size:
        raise ClipError("The file is damaged: its end is missing.")


def _short_name(container: InputContainer) -> str:
    names = container.format.name.split(",")
    return next((name for name in ("mp4", "webm") if name in names), names[0])
