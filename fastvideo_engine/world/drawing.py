"""Draw a scene of the small world as frames."""

import numpy as np

from fastvideo_engine.world.scenes import BACKGROUNDS, COLOURS, MOTIONS, PRESS, SIZE, Scene

_FINENESS = 4  # a pixel is the mean of so many squared, which makes smooth edges
_CRUSHED_HEIGHT, _CRUSHED_WIDTH = 0.22, 1.4
_MELTED_HEIGHT, _MELTED_WIDTH = 0.28, 1.7
_SWOLLEN_FROM, _SWOLLEN_TO = 0.7, 1.6
_PRESS_GAP = 14.0  # pixels between the press and the shape at first
_PRESS_WIDTH = 1.7  # of the radius, to each side
_TOUCH, _REST = 0.25, 0.85  # when an effect begins and when it is over; a clip lasts from 0 to 1

_fine = (np.arange(SIZE * _FINENESS) + 0.5) / _FINENESS
_ACROSS, _DOWN = _fine[None, :], _fine[:, None]


def draw(scene: Scene, frames: int) -> np.ndarray:
    """Draw a scene as frames THWC uint8; it takes all of them, however many there are."""
    return np.stack([draw_moment(scene, number / max(1, frames - 1)) for number in range(frames)])


def draw_moment(scene: Scene, time: float) -> np.ndarray:
    """Draw a scene as it is at a time from 0, its beginning, to 1, its end: one frame HWC uint8."""
    x, y, half_width, half_height = _pose(scene, time)
    picture = np.full((SIZE, SIZE, 3), BACKGROUNDS[scene.background], dtype=np.float64)
    covered = _inside(scene.shape, (_ACROSS - x) / half_width, (_DOWN - y) / half_height)
    _paint(picture, covered, COLOURS[scene.colour])
    if scene.action == "crush":
        edge = y - half_height - _PRESS_GAP * max(0.0, 1 - time / _TOUCH)
        _paint(picture, (edge > _DOWN) & (np.abs(_ACROSS - x) < scene.radius * _PRESS_WIDTH), PRESS)
    return np.rint(picture).astype(np.uint8)


def _pose(scene: Scene, time: float) -> tuple[float, float, float, float]:
    """Return the shape's centre across and down, half its width and half its height, in pixels."""
    x, y = scene.place
    radius = scene.radius
    if scene.action in MOTIONS:
        across, down = MOTIONS[scene.action]
        return x + across * scene.travel * time, y + down * scene.travel * time, radius, radius
    done = min(1.0, max(0.0, (time - _TOUCH) / (_REST - _TOUCH)))
    if scene.action == "swell":
        grown = radius * (_SWOLLEN_FROM + (_SWOLLEN_TO - _SWOLLEN_FROM) * done)
        return x, y, grown, grown
    height, width = (_CRUSHED_HEIGHT, _CRUSHED_WIDTH) if scene.action == "crush" else (_MELTED_HEIGHT, _MELTED_WIDTH)
    half_height = radius * (1 + (height - 1) * done)
    return x, y + radius - half_height, radius * (1 + (width - 1) * done), half_height  # its foot stays where it is


def _inside(shape: str, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Tell which points lie in a shape that reaches from -1 to 1 both ways."""
    if shape == "circle":
        covered = across**2 + down**2 <= 1
    elif shape == "square":
        covered = np.maximum(np.abs(across), np.abs(down)) <= 0.9
    elif shape == "diamond":
        covered = np.abs(across) + np.abs(down) <= 1
    else:  # a triangle that stands on its side
        covered = (down <= 1) & (np.abs(across) <= (down + 1) / 2)
    return np.asarray(covered)


def _paint(picture: np.ndarray, covered: np.ndarray, colour: tuple[int, int, int]) -> None:
    share = covered.reshape(SIZE, _FINENESS, SIZE, _FINENESS).mean(axis=(1, 3))[..., None]
    picture += share * (np.array(colour) - picture)
