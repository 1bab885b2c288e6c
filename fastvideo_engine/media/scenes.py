"""Find the cuts of a film: where one frame is suddenly unlike the one before."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from fastvideo_engine.media.reading import decoded_frames

# Small enough that grain and a wandering object hardly count, large enough that another scene does.
_SMALL_WIDTH, _SMALL_HEIGHT = 32, 18


def scene_starts(path: Path, threshold: float) -> list[int]:
    """List the frames that begin a scene, the very first included; raise `ClipError` when the file is damaged.

    A frame begins a scene when the mean difference of its pixels, brought down to 32x18, from those of the frame
    before is at least `threshold`, of 1 between black and white, and the next frame is that unlike too: a flash
    that passes is no cut.
    """
    small = (
        frame.reformat(width=_SMALL_WIDTH, height=_SMALL_HEIGHT, format="rgb24").to_ndarray()
        for frame in decoded_frames(path)
    )
    return list(starts_among(small, threshold))


def starts_among(frames: Iterable[np.ndarray], threshold: float) -> Iterator[int]:
    """Yield the numbers of the frames, each HWC uint8 of one size, that begin a scene."""
    yield 0
    before: np.ndarray | None = None
    doubtful: np.ndarray | None = None
    number = -1
    for number, frame in enumerate(frames):
        if doubtful is not None and before is not None:
            if _difference(frame, before) >= threshold:
                yield number - 1
                before = doubtful
            doubtful = None
        if before is not None and _difference(frame, before) >= threshold:
            doubtful = frame
        else:
            before = frame


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean() / 255)
