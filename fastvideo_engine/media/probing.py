"""What a video file is: its size, pace and length, and whether browsers can show it."""

from dataclasses import dataclass
from pathlib import Path

from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fastvideo_engine.errors import ClipError
from fastvideo_engine.media.opening import opened_video

# Pixel formats and codecs that current Chromium, Firefox and Safari all decode, by container.
_IN_MP4 = {"h264", "av1", "vp9"}
_IN_WEBM = {"vp8", "vp9", "av1"}
_EIGHT_BIT_420 = {"yuv420p", "yuvj420p"}


@dataclass(frozen=True)
class ClipFacts:
    """What a clip's file says and shows; width and height are as it is watched, so after rotation."""

    width: int
    height: int
    fps: float
    frames: int
    duration_seconds: float
    codec: str
    pixel_format: str
    container: str = "mp4"


def probe(path: Path) -> ClipFacts:
    """Learn what a video file is, decoding one frame; raise `ClipError` with the reason when it cannot be used."""
    with opened_video(path) as (container, stream):
        _refuse_a_file_cut_short(path, stream)
        first = next(container.decode(stream), None)
        if first is None:
            raise ClipError("It has no frames.")
        rate = stream.average_rate or stream.guessed_rate
        if not rate:
            raise ClipError("It does not say how many frames a second it has.")
        frames = stream.frames or _counted_frames(path)
        width, height = size_as_watched(first)
        return ClipFacts(
            width=width,
            height=height,
            fps=float(rate),
            frames=frames,
            duration_seconds=frames / float(rate),
            codec=stream.codec_context.name,
            pixel_format=first.format.name,
            container=_short_name(container),
        )


def plays_in_browsers(facts: ClipFacts) -> bool:
    """Tell whether every current browser shows the file as it is."""
    codecs = {"mp4": _IN_MP4, "webm": _IN_WEBM}.get(facts.container, set())
    return facts.codec in codecs and facts.pixel_format in _EIGHT_BIT_420


def size_as_watched(frame: VideoFrame) -> tuple[int, int]:
    """Return width and height of a frame once it is turned the way its file says."""
    return (frame.height, frame.width) if frame.rotation % 180 else (frame.width, frame.height)


def _refuse_a_file_cut_short(path: Path, stream: VideoStream) -> None:
    # An index at the head of the file names every packet; reading one footer is cheaper than decoding to find out.
    last_byte = max((entry.pos + entry.size for entry in stream.index_entries if entry.pos >= 0), default=0)
    if last_byte > path.stat().st_size:
        raise ClipError("The file is damaged: its end is missing.")


def _counted_frames(path: Path) -> int:
    with opened_video(path) as (container, stream):
        return sum(1 for packet in container.demux(stream) if packet.size and not packet.is_discard)


def _short_name(container: InputContainer) -> str:
    names = container.format.name.split(",")
    return next((name for name in ("mp4", "webm") if name in names), names[0])
