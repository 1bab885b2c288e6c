"""What can be seen in the small world, and the sentence that says so."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

SIZE = 64
"""Height and width in pixels."""
FRAMES = 17
FPS = 16

COLOURS = {
    "red": (226, 38, 38),
    "orange": (250, 140, 20),
    "yellow": (250, 230, 50),
    "green": (50, 190, 70),
    "cyan": (60, 215, 230),
    "blue": (45, 95, 250),
    "purple": (150, 55, 215),
    "pink": (255, 130, 200),
}
BACKGROUNDS = {
    "black": (12, 12, 14),
    "navy": (16, 24, 80),
    "brown": (80, 48, 28),
    "grey": (100, 100, 104),
    "white": (236, 236, 236),
}
SHAPES = ("circle", "square", "triangle", "diamond")
MOTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
"""The direction of each in the image: across and down."""
PRESS = (150, 158, 172)
EFFECTS = {
    "crush": "a press crushes {shape} on {background}",
    "melt": "{shape} melts on {background}",
    "swell": "{shape} swells on {background}",
}
Kind = tuple[str, str, str, str]
"""Colour, shape, background and action."""
_RADIUS = (10.0, 13.0)
_TRAVEL = (22.0, 28.0)


@dataclass(frozen=True)
class Scene:
    """One clip before it is drawn; the place is the shape's centre in pixels in the first frame."""

    colour: str
    shape: str
    background: str
    action: str
    """A motion's name or an effect's."""
    place: tuple[float, float]
    radius: float
    travel: float
    """Pixels from the first frame to the last; for motions only."""

    @property
    def caption(self) -> str:
        shape, background = f"{_with_article(self.colour)} {self.shape}", f"a {self.background} background"
        if self.action in EFFECTS:
            return EFFECTS[self.action].format(shape=shape, background=background)
        return f"{shape} moving {self.action} on {background}"


def every_kind(actions: Iterable[str]) -> list[Kind]:
    """List every colour, shape and background with each of these actions, in a fixed order."""
    return list(itertools.product(COLOURS, SHAPES, BACKGROUNDS, actions))


def any_scene(random: np.random.Generator) -> Scene:
    """Choose a scene among all, motions and effects alike."""
    kinds = every_kind([*MOTIONS, *EFFECTS])
    return placed_scene(kinds[int(random.integers(len(kinds)))], random)


def placed_scene(kind: Kind, random: np.random.Generator) -> Scene:
    """Choose where the shape of a scene begins, so that it stays in the picture all the way."""
    colour, shape, background, action = kind
    radius = random.uniform(*_RADIUS)
    travel = random.uniform(*_TRAVEL)
    direction = MOTIONS.get(action, (0, 0))
    low, high = radius + 1, SIZE - radius - 1
    place = [random.uniform(low, high) for _ in direction]
    for axis, sign in enumerate(direction):
        if sign:
            place[axis] = random.uniform(low, high - travel)
            if sign < 0:
                place[axis] = SIZE - place[axis]
    if action in EFFECTS:
        # Room for what grows sideways, and above for the press to come from.
        place = [random.uniform(22, SIZE - 22), random.uniform(SIZE / 2 - 4, SIZE - radius - 3)]
        if action == "swell":
            place[1] = random.uniform(24, SIZE - 24)
    return Scene(colour, shape, background, action, (place[0], place[1]), radius, travel)


def _with_article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"
