"""Cuts are found where they were made, and nowhere else."""

import numpy as np
import pytest

from fastvideo_engine.media import scene_starts
from fastvideo_engine.media.scenes import starts_among


def _scene(count, brightness):
    """Make a square that wanders over a plain ground: much movement, no cut."""
    for number in range(count):
        picture = np.full((96, 128, 3), brightness, np.uint8)
        picture[20:44, number : number + 24] = 255 - brightness
        yield picture


def test_cuts_are_found_at_the_frames_where_they_were_made(tmp_path, film):
    pictures = [*_scene(20, 30), *_scene(30, 120), *_scene(25, 220)]

    assert scene_starts(film(tmp_path / "a.mp4", pictures), 0.15) == [0, 20, 50]


def test_movement_alone_is_no_cut(tmp_path, make_clip):
    assert scene_starts(make_clip(tmp_path / "a.mp4"), 0.15) == [0]


def test_a_flash_is_no_cut():
    dark, light = np.full((2, 2, 3), 20, np.uint8), np.full((2, 2, 3), 250, np.uint8)

    assert list(starts_among([dark] * 5 + [light] + [dark] * 5, 0.15)) == [0]


@pytest.mark.parametrize(("threshold", "starts"), [(0.29, [0, 3]), (0.31, [0])])
def test_the_threshold_is_the_mean_difference_of_the_pixels(threshold, starts):
    dark, lighter = np.full((2, 2, 3), 0, np.uint8), np.full((2, 2, 3), round(0.3 * 255), np.uint8)

    assert list(starts_among([dark] * 3 + [lighter] * 3, threshold)) == starts
