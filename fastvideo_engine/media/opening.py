"""Open a file that someone claims is a video, and say in one sentence why it is not."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from fastvideo_engine.errors import ClipError

# Only formats that hold their own pictures: a playlist named .mp4 could make FFmpeg read other files of this machine.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,asf,ogg,gif,apng,webp,mxf,nut,ivf,"
    "h264,hevc,m4v,av1,obu,dv,rm,wtv"
)
_SETTINGS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
_LFS_POINTER = b"version https://git-lfs"


@contextmanager
def opened_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video and its first stream of pictures; any failure of FFmpeg inside the block becomes a `ClipError`."""
    _refuse_what_is_no_video(path)
    with _in_plain_words("The file is damaged or not a video."):
        container = av.open(str(path.absolute()), options=_SETTINGS)
    with container, _in_plain_words("The file is damaged: it cannot be decoded."):
        # A song's cover and a film's poster are streams of pictures too, each of one.
        moving = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
        if not moving:
            raise ClipError("It has no pictures, only sound or text.")
        yield container, moving[0]


@contextmanager
def _in_plain_words(if_invalid: str) -> Iterator[None]:
    try:
        yield
    except av.error.ArgumentError:  # FFmpeg's answer to a format that is not on the list
        raise ClipError("It is not a video file.") from None
    except av.error.InvalidDataError:
        raise ClipError(if_invalid) from None
    except (av.error.FFmpegError, OSError) as error:
        raise ClipError(f"The file cannot be read ({error.strerror}).") from None


def _refuse_what_is_no_video(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(len(_LFS_POINTER))
    except FileNotFoundError:
        raise ClipError("The file is missing.") from None
    except OSError as error:
        raise ClipError(f"The file cannot be read ({error.strerror}).") from None
    except ValueError:
        raise ClipError("Its path holds a character that no file's name can have.") from None
    if not start:
        raise ClipError("The file is empty.")
    if start == _LFS_POINTER:
        raise ClipError("It is only a Git LFS pointer; fetch the video itself with `git lfs pull`.")
