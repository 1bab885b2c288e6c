"""The frames taken are the right ones, or exactly FastVideo's, and a refusal says what to change."""

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest

from fastvideo_engine.clip_rules import UnusableError, chosen_frames, cuts_of, shape_of, verdict_on
from fastvideo_engine.families import FAMILIES
from fastvideo_engine.media import ClipFacts, probe
from fastvideo_engine.specs import MergedFolder, PreprocessSpec

_WAN = FAMILIES[0]


def _clip(frames, fps, width=640, height=360, codec="h264"):
    return ClipFacts(width, height, fps, frames, frames / fps, codec, "yuv420p")


_PICTURE = _clip(1, 1.0, codec="still")


def _spec(**changes):
    sizes = {"height": 64, "width": 96, "frames": 17, "fps": 16}
    return PreprocessSpec(model="m", source=MergedFolder(path="/clips"), **{**sizes, **changes})


def _cuts(facts, scene_starts=(), **changes):
    return [(cut.id, list(cut.frames)) for cut in cuts_of("a", "x", facts, _spec(**changes), _WAN, scene_starts)]


def test_in_parity_the_frames_are_those_that_fastvideo_took(fastvideo_fixtures):
    taken = json.loads((fastvideo_fixtures / "intermediate" / "info.json").read_text())

    for name, told in taken.items():
        facts = probe(fastvideo_fixtures / "dataset" / "videos" / name)
        assert chosen_frames(facts, 16, 17, parity="fastvideo") == told["frame_indices"], name
    assert len(taken) == 8


@pytest.mark.parametrize("fps", [16, 23.976, 24, 25, 29.97, 30, 60])
def test_in_parity_the_frames_follow_fastvideos_formula(fps):
    for count in (1, 40, 97, 300):
        formula = np.arange(0, count, fps / 16).astype(int)[:77].tolist()
        assert chosen_frames(_clip(count, fps), 16, 77, parity="fastvideo") == formula


def test_otherwise_each_frame_is_the_one_nearest_in_time():
    draw = random.Random(0)
    for _ in range(500):
        facts = _clip(draw.randint(1, 400), draw.choice([8, 12.5, 23.976, 24, 25, 29.97, 30, 50, 59.94, 120]))
        fps, speed, wanted = draw.choice([8, 12, 16, 24, 30]), draw.choice([0.5, 1, 1.7]), draw.randint(1, 200)

        chosen = chosen_frames(facts, fps, wanted, speed=speed)

        lasting = math.ceil(facts.duration_seconds * fps / speed - 1e-6)
        assert len(chosen) == min(wanted, lasting)
        late = [number / facts.fps - step * speed / fps for step, number in enumerate(chosen)]
        # Half a frame either way; only the last frame, which has none after it, may stand for a whole one.
        assert max(late) < 0.5 / facts.fps + 1e-6
        assert all(
            by > -0.5 / facts.fps - 1e-6 or number == facts.frames - 1 for by, number in zip(late, chosen, strict=True)
        )
        assert chosen == sorted(chosen)
        assert chosen[-1] < facts.frames


def test_of_an_uneven_rate_the_times_count_and_not_the_numbers():
    times = [0.0, 0.04, 0.09, 0.12, 0.5, 0.91, 1.0, 1.1]
    facts = replace(_clip(8, fps=7 / 1.1), timestamps=tuple(times))

    assert chosen_frames(facts, 10, 12) == [0, 2, 3, 3, 4, 4, 4, 4, 5, 5, 6, 7]


def test_a_slower_clip_repeats_frames():
    assert chosen_frames(_clip(5, fps=8), 16, 6) == [0, 1, 1, 2, 2, 3]


def test_a_short_clip_gives_what_it_has():
    assert chosen_frames(_clip(4, fps=16), 16, 17) == [0, 1, 2, 3]


def test_no_frame_lies_beyond_the_end():
    for parity in ("none", "fastvideo"):
        for frames in range(1, 400):
            assert max(chosen_frames(_clip(frames, fps=30000 / 1001), 16, 1000, parity)) < frames


@pytest.mark.parametrize("parity", ["none", "fastvideo"])
@pytest.mark.parametrize("fps", [1e-6, 1e6])
def test_an_absurd_rate_harms_nothing(fps, parity):
    facts = _clip(100_000, fps)

    assert 1 <= len(chosen_frames(facts, 16, 77, parity)) <= 77
    verdict_on("a", "x", facts, _spec(parity=parity))


def test_a_quarter_of_the_speed_takes_each_frame_four_times():
    assert chosen_frames(_clip(10, fps=16), 16, 77, speed=0.25) == [*sorted(list(range(10)) * 4)[2:], 9, 9]


def test_twice_the_speed_takes_frames_twice_as_far_apart_and_needs_a_clip_twice_as_long():
    facts = _clip(40, fps=16)

    assert chosen_frames(facts, 16, 5, speed=2) == [0, 2, 4, 6, 8]
    assert verdict_on("a", "x", facts, _spec()) is None
    assert verdict_on("a", "x", facts, _spec(frames=21, selection={"speed_factor": 2})).field == "frames"


def test_a_short_clip_is_refused_with_the_numbers():
    sentence = "4.0 s at 24 fps gives 64 frames at 16 fps; 77 are needed: choose fewer frames or a longer clip."
    assert verdict_on("a", "a cat", _clip(96, fps=24), _spec(frames=77)).reason == sentence


@pytest.mark.parametrize("caption", ["", "  \n"])
def test_a_clip_without_a_caption_is_refused(caption):
    assert verdict_on("a", caption, _clip(96, fps=24), _spec()).reason == "It has no caption."


def test_a_long_clip_is_used_unless_the_spec_says_otherwise():
    long = _clip(480, fps=24)

    assert verdict_on("a", "x", long, _spec(frames=77)) is None
    refusal = verdict_on("a", "x", long, _spec(frames=77, selection={"longest": 2}))
    assert refusal.field == "selection.longest"
    assert refusal.reason.startswith("It lasts 20.0 s, and 9.6 s is the longest allowed (2 times what is needed)")
    assert verdict_on("a", "x", long, _spec(frames=77, selection={"longest": 2, "long_clips": "split"})) is None


def test_so_large_a_share_of_short_clips_is_left_out_as_was_asked():
    short = _clip(10, fps=16)
    names = [f"clip {number}" for number in range(400)]

    def left_out(share, seed=42):
        spec = _spec(selection={"drop_short_ratio": share}, seed=seed)
        return [name for name in names if verdict_on(name, "x", short, spec)]

    assert (left_out(0), left_out(1)) == ([], names)
    assert 0.2 < len(left_out(0.3)) / 400 < 0.4
    assert left_out(0.3) == left_out(0.3) != left_out(0.3, seed=1)


def test_a_short_clip_that_is_kept_has_whole_latents():
    [cut] = cuts_of("a", "x", _clip(12, fps=16), _spec(selection={"drop_short_ratio": 0}), _WAN)

    assert cut.shape.frames == 9
    assert len(cut.frames) == 9


def test_a_long_clip_gives_its_head():
    assert _cuts(_clip(100, fps=16)) == [("a", list(range(17)))]


def test_a_random_part_is_the_same_every_time_and_may_be_the_very_last():
    def part(name, seed=1):
        spec = _spec(selection={"long_clips": "random"}, seed=seed)
        return cuts_of(name, "x", _clip(20, fps=16), spec, _WAN)[0].frames

    firsts = {part(f"clip {number}")[0] for number in range(60)}
    assert firsts == {0, 1, 2, 3}
    assert part("a") == part("a")


def test_split_gives_every_whole_part_with_a_number():
    parts = _cuts(_clip(60, fps=16), selection={"long_clips": "split"})

    assert [name for name, _ in parts] == ["a#0001", "a#0002", "a#0003"]
    assert [numbers for _, numbers in parts] == [list(range(17)), list(range(17, 34)), list(range(34, 51))]


def test_no_part_crosses_a_scene_cut():
    parts = _cuts(_clip(100, fps=16), scene_starts=[0, 20, 60, 70], selection={"long_clips": "scenes"})

    assert [(numbers[0], numbers[-1]) for _, numbers in parts] == [(0, 16), (20, 36), (37, 53), (70, 86)]


def test_scenes_that_are_all_too_short_are_a_reason():
    with pytest.raises(UnusableError, match=r"^None of its scenes gives 17 frames at 16 fps\.$") as refusal:
        _cuts(_clip(30, fps=16), scene_starts=[0, 15], selection={"long_clips": "scenes"})

    assert refusal.value.field == "selection.long_clips"


def test_a_picture_is_a_clip_of_one_frame_and_no_longer_one():
    assert _cuts(_PICTURE, frames=1) == [("a", [0])]
    assert verdict_on("a", "x", _PICTURE, _spec()).reason == (
        "It is a picture, which is one frame; 17 frames are needed: choose 1 frame, or buckets."
    )
    assert _cuts(_PICTURE, output={"buckets": True}) == [("a", [0])]


@pytest.mark.parametrize("width", [640, 480, 360, 270])
def test_a_bucket_has_the_clips_aspect_and_the_area_asked_for(width):
    facts, spec = _clip(300, 16, width=width, height=360), _spec(height=480, width=832, output={"buckets": True})

    shape = shape_of(facts, 300, spec, _WAN)

    assert (shape.height % 16, shape.width % 16, shape.frames) == (0, 0, 17)
    assert shape.width / shape.height == pytest.approx(width / 360, rel=0.12)
    assert shape.height * shape.width == pytest.approx(480 * 832, rel=0.06)


def test_a_bucket_is_chosen_by_what_is_watched():
    spec = _spec(height=480, width=832, output={"buckets": True})
    wide_pixels = replace(_clip(300, 16, width=360, height=360), pixel_aspect=16 / 9)

    assert shape_of(wide_pixels, 300, spec, _WAN) == shape_of(_clip(300, 16), 300, spec, _WAN)


@pytest.mark.parametrize(("found", "frames"), [(200, 77), (77, 77), (76, 37), (30, 17), (1, 1)])
def test_a_bucket_is_as_long_as_the_clip_allows(found, frames):
    spec = _spec(frames=77, output={"buckets": True})

    assert shape_of(_clip(found, 16), found, spec, _WAN).frames == frames


def test_whatever_the_clip_the_cuts_fit_their_shape_and_the_file():
    draw = random.Random(7)
    for _ in range(300):
        facts = _clip(draw.randint(1, 900), draw.uniform(5, 120), draw.randint(16, 4000), draw.randint(16, 4000))
        spec = _spec(
            frames=4 * draw.randint(0, 20) + 1,
            fps=draw.uniform(4, 60),
            parity=draw.choice(["none", "fastvideo"]),
            selection={"long_clips": draw.choice(["head", "random", "split"]), "drop_short_ratio": draw.choice([0, 1])},
            output={"buckets": draw.choice([True, False])},
        )
        try:
            cuts = cuts_of("a", "x", facts, spec, _WAN)
        except UnusableError:
            assert len(chosen_frames(facts, spec.fps, 10**6, spec.parity)) < spec.frames
            continue
        for cut in cuts:
            assert len(cut.frames) == cut.shape.frames <= spec.frames
            assert 0 <= min(cut.frames) <= max(cut.frames) < facts.frames
            assert _WAN.problems(cut.shape.height, cut.shape.width, cut.shape.frames) == {}
