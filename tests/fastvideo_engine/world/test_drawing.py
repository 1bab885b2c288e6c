"""What is drawn is what the caption says, in the picture all the way, and the same each time."""

import numpy as np
import pytest

from fastvideo_engine.world.drawing import draw
from fastvideo_engine.world.judging import judge
from fastvideo_engine.world.scenes import EFFECTS, FRAMES, MOTIONS, SHAPES, SIZE, any_scene, every_kind, placed_scene


def test_captions_say_what_is_to_be_seen() -> None:
    random = np.random.default_rng(0)
    moving = placed_scene(("orange", "square", "navy", "left"), random)
    crushed = placed_scene(("red", "circle", "grey", "crush"), random)
    assert moving.caption == "an orange square moving left on a navy background"
    assert crushed.caption == "a press crushes a red circle on a grey background"


def test_there_are_640_moving_scenes() -> None:
    assert len(set(every_kind(MOTIONS))) == 8 * 4 * 5 * 4


@pytest.mark.parametrize("frames", [1, 9, 17])
def test_a_clip_has_the_frames_asked_for(frames: int) -> None:
    clip = draw(any_scene(np.random.default_rng(1)), frames)
    assert clip.shape == (frames, SIZE, SIZE, 3)
    assert clip.dtype == np.uint8


def test_shapes_that_move_stay_in_the_picture() -> None:
    random = np.random.default_rng(2)
    for kind in every_kind(MOTIONS)[::7]:
        edge = np.ones((SIZE, SIZE), dtype=bool)
        edge[1:-1, 1:-1] = False
        on_the_edge = draw(placed_scene(kind, random), FRAMES)[:, edge].reshape(-1, 3)
        assert len(np.unique(on_the_edge, axis=0)) == 1  # nothing but the background


def test_the_same_seed_draws_the_same_clip() -> None:
    one, other = (draw(any_scene(np.random.default_rng(3)), 5) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_the_judge_is_right_about_99_in_100_clips_of_every_kind() -> None:
    random = np.random.default_rng(4)
    scenes = [placed_scene(kind, random) for kind in every_kind([*MOTIONS, *EFFECTS])[:: len(SHAPES) - 1]]
    right = 0
    for scene in scenes:
        seen = judge(draw(scene, FRAMES))
        moved = seen.motion == scene.action or scene.action in EFFECTS
        shrank = seen.height_left is not None and (seen.height_left <= 0.6) == (scene.action in ("crush", "melt"))
        right += seen.colour == scene.colour and moved and shrank
    assert right >= 0.99 * len(scenes)
    assert len(scenes) > 300


def test_the_judge_sees_nothing_in_an_empty_picture() -> None:
    seen = judge(np.full((5, SIZE, SIZE, 3), 12, dtype=np.uint8))
    assert (seen.colour, seen.motion, seen.height_left) == (None, None, None)
