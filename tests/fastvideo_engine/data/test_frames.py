"""The pixels that enter the VAE are FastVideo's."""

import numpy as np
import pytest
import torch

from fastvideo_engine.clip_rules import chosen_frames
from fastvideo_engine.data.frames import as_vae_input, cropped_and_resized, read_frames
from fastvideo_engine.errors import ClipError
from fastvideo_engine.media import probe


def test_frames_cut_and_resized_equal_those_of_fastvideo_exactly(fastvideo_fixtures):
    clips = sorted((fastvideo_fixtures / "dataset" / "videos").iterdir())

    for clip in clips:
        theirs = np.load(fastvideo_fixtures / "intermediate" / f"{clip.name}.npz")["pixels_cthw_uint8"]
        frames = read_frames(clip, chosen_frames(probe(clip), 16, 17, "fastvideo"))
        ours = cropped_and_resized(frames, 64, 96, "fastvideo").permute(1, 0, 2, 3).numpy()
        assert np.array_equal(ours, theirs), clip.name
    assert len(clips) == 8


def test_the_vae_sees_black_as_minus_one_and_white_as_one():
    frames = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 4, 6)

    video = as_vae_input(frames)

    assert video.shape == (1, 3, 2, 4, 6)
    assert video[0, 0, :, 0, 0].tolist() == [-1.0, 1.0]


def test_a_clip_with_damage_among_the_chosen_frames_is_refused(tmp_path, spoilt):
    with pytest.raises(ClipError, match="The file is damaged"):
        read_frames(spoilt(tmp_path / "bad.mp4", "damaged in the middle"), list(range(40)))
