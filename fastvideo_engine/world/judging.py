"""Tell from the pixels of a clip of the small world which colour moves which way, and how its height changes."""

from dataclasses import dataclass

import numpy as np

from fastvideo_engine.world.scenes import BACKGROUNDS, COLOURS, MOTIONS, PRESS

_FEWEST_PIXELS = 12
_NARROWEST = 0.25
_LEAST_WAY = 6.0  # pixels from the first frame to the last, below which a shape counts as standing still
_PALETTE = np.array([*COLOURS.values(), *BACKGROUNDS.values(), PRESS], dtype=np.float32)


@dataclass(frozen=True)
class Seen:
    """What a clip shows; None where no shape could be made out."""

    colour: str | None
    motion: str | None
    height_left: float | None
    """Height of the shape in the last quarter of the clip, as a share of that in the first."""


def judge(frames: np.ndarray) -> Seen:
    """Judge a clip THWC uint8 by the nearest colour of the palette at each pixel.

    The height is that of the shape as the clip begins, of whatever colour: of the one seen most in its first quarter.
    """
    nearest = _nearest(frames)
    shown = nearest < len(COLOURS)
    counts = np.bincount(nearest[shown], minlength=len(COLOURS))
    if counts.max(initial=0) < _FEWEST_PIXELS * len(frames):
        return Seen(None, None, None)
    colour = int(counts.argmax())
    at_first = nearest[: max(1, len(frames) // 4)]
    first = int(np.bincount(at_first[at_first < len(COLOURS)], minlength=len(COLOURS)).argmax())
    return Seen(list(COLOURS)[colour], _motion(nearest == colour), _height_left(nearest == first))


def _nearest(frames: np.ndarray) -> np.ndarray:
    """Return for each pixel the number of the nearest colour: shapes' first, then backgrounds', then the press's."""
    # The square of the pixel itself is the same for all colours.
    distance = np.square(_PALETTE).sum(axis=1) - 2 * (frames.astype(np.float32) @ _PALETTE.T)
    number: np.ndarray = distance.argmin(axis=-1)
    return number


def _motion(masks: np.ndarray) -> str | None:
    """Name the direction of the centroid's way, fitted by a line over time; None for standing still."""
    seen = [(time, *_centroid(mask)) for time, mask in enumerate(masks) if mask.sum() >= _FEWEST_PIXELS]
    if len(seen) < 2:
        return None
    time, across, down = np.array(seen).T
    way = np.array([np.polyfit(time, place, 1)[0] for place in (across, down)]) * (len(masks) - 1)
    if np.abs(way).max() < _LEAST_WAY:
        return None
    return max(MOTIONS, key=lambda name: float(np.dot(way, MOTIONS[name])))


def _centroid(mask: np.ndarray) -> tuple[float, float]:
    down, across = np.nonzero(mask)
    return float(across.mean()), float(down.mean())


def _height_left(masks: np.ndarray) -> float | None:
    # Medians, so that a single odd frame decides nothing.
    heights = np.array([_height(mask) for mask in masks], dtype=float)
    quarter = max(1, len(heights) // 4)
    first, last = np.median(heights[:quarter]), np.median(heights[-quarter:])
    return float(last / first) if first else None


def _height(mask: np.ndarray) -> int:
    """Count the rows of the shape; those far narrower than the widest are fringes of something else."""
    widths = mask.sum(axis=1)
    if widths.sum() < _FEWEST_PIXELS:
        return 0
    return int((widths >= max(2, _NARROWEST * widths.max())).sum())
