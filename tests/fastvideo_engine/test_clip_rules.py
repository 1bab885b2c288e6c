"""The frames taken are FastVideo's, and a refusal says what to change."""

import json

import pytest

from fastvideo_engine.clip_rules import chosen_frames, why_unusable
from fastvideo_engine.media import ClipFacts, probe


def _clip(frames, fps):
    return ClipFacts(640, 360, fps, frames, frames / fps, "h264", "yuv420p")


def test_the_frames_are_those_that_fastvideo_took(fastvideo_fixtures):
    taken = json.loads((fastvideo_fixtures / "intermediate" / "info.json").read_text())

    for name, told in taken.items():
        facts = probe(fastvideo_fixtures / "dataset" / "videos" / name)
        assert chosen_frames(facts, 16, 17, parity="fastvideo") == told["frame_indices"], name
    assert len(taken) == 8


def test_a_slower_clip_repeats_frames():
    assert chosen_frames(_clip(5, fps=8), 16, 6) == [0, 1, 1, 2, 2, 3]


def test_a_short_clip_gives_what_it_has():
    assert chosen_frames(_clip(4, fps=16), 16, 17) == [0, 1, 2, 3]


def test_no_frame_lies_beyond_the_end():
    for frames in range(1, 400):
        assert max(chosen_frames(_clip(frames, fps=30000 / 1001), 16, 1000)) < frames


def test_a_short_clip_is_refused_with_the_numbers():
    assert why_unusable(_clip(96, fps=24), "a cat", 16, 77) == (
        "4.0 s at 24 fps gives 64 frames at 16 fps; 77 are needed: choose fewer frames or a longer clip."
    )


@pytest.mark.parametrize("caption", ["", "  \n"])
def test_a_clip_without_a_caption_is_refused(caption):
    assert why_unusable(_clip(96, fps=24), caption, 16, 17) == "It has no caption."


def test_a_long_clip_is_used():
    assert why_unusable(_clip(100_000, fps=24), "a cat", 16, 77) is None
