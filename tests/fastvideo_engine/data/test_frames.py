"""The pixels that enter the VAE are as good as they can be, or exactly FastVideo's."""

import numpy as np
import pytest
import torch
from PIL import Image

from fastvideo_engine.clip_rules import chosen_frames
from fastvideo_engine.data.frames import as_vae_input, cropped_and_resized, plan, read_cut, read_frames
from fastvideo_engine.data.sources import clips_of
from fastvideo_engine.errors import ClipError
from fastvideo_engine.families import FAMILIES
from fastvideo_engine.media import probe
from fastvideo_engine.specs import Manifest, PreprocessSpec

_WAN = FAMILIES[0]


@pytest.fixture
def planned(tmp_path):
    """Plan and read the only clip of a folder; return its cuts' names and frames."""

    def make(**changes):
        sizes = {"height": 64, "width": 96, "frames": 17, "fps": 16}
        spec = PreprocessSpec(model="m", source=Manifest(path=str(tmp_path)), **{**sizes, **changes})
        [clip] = clips_of(spec)
        facts, cuts = plan(clip.path, clip, spec, _WAN)
        return [(cut.id, read_cut(clip.path, facts, cut, spec)) for cut in cuts]

    return make


def test_in_parity_frames_cut_and_resized_equal_those_of_fastvideo_exactly(fastvideo_fixtures):
    clips = sorted((fastvideo_fixtures / "dataset" / "videos").iterdir())

    for clip in clips:
        theirs = np.load(fastvideo_fixtures / "intermediate" / f"{clip.name}.npz")["pixels_cthw_uint8"]
        frames = read_frames(clip, chosen_frames(probe(clip), 16, 17, "fastvideo"))
        ours = cropped_and_resized(frames, 64, 96, "fastvideo").permute(1, 0, 2, 3).numpy()
        assert np.array_equal(ours, theirs), clip.name
    assert len(clips) == 8


@pytest.mark.parametrize(("height", "width"), [(120, 160), (33, 50), (240, 320)])
def test_otherwise_the_resize_is_the_one_that_pillow_makes(height, width):
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    cut_height = round(128 * height / width) if height / width < 96 / 128 else 96
    cut_width = 128 if cut_height < 96 else round(96 * width / height)
    top, left = round((96 - cut_height) / 2), round((128 - cut_width) / 2)
    cut = Image.fromarray(noise[top : top + cut_height, left : left + cut_width])

    ours = cropped_and_resized(torch.from_numpy(noise).permute(2, 0, 1)[None], height, width)

    pillows = np.asarray(cut.resize((width, height), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(ours[0].permute(1, 2, 0).numpy() - pillows).max() <= 1


def test_frames_of_the_right_size_are_left_as_they_are():
    frames = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)

    assert torch.equal(cropped_and_resized(frames, 64, 96), frames)


@pytest.mark.parametrize("parity", ["none", "fastvideo"])
def test_any_size_can_be_brought_to_any_other(parity):
    random = np.random.default_rng(3)
    for old_height, old_width, height, width in random.integers(1, 200, (60, 4)):
        frames = torch.zeros((1, 3, int(old_height), int(old_width)), dtype=torch.uint8)
        assert cropped_and_resized(frames, int(height), int(width), parity).shape == (1, 3, height, width)


def test_the_vae_sees_black_as_minus_one_and_white_as_one():
    frames = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 4, 6)

    video = as_vae_input(frames)

    assert video.shape == (1, 3, 2, 4, 6)
    assert video[0, 0, :, 0, 0].tolist() == [-1.0, 1.0]


def test_a_clip_with_damage_among_the_chosen_frames_is_refused(tmp_path, spoilt):
    with pytest.raises(ClipError, match="The file is damaged"):
        read_frames(spoilt(tmp_path / "bad.mp4", "damaged in the middle"), list(range(40)))


def test_every_part_of_a_split_video_shows_its_own_time(tmp_path, film, greys, planned):
    film(tmp_path / "a.mp4", greys(40), fps=16)
    (tmp_path / "a.txt").write_text("it grows brighter")

    (first, early), (second, late) = planned(selection={"long_clips": "split"})

    assert (first, second) == ("a.mp4#0001", "a.mp4#0002")
    assert early.float().mean(dim=(1, 2, 3)).tolist() == pytest.approx([6 * n for n in range(17)], abs=2)
    assert late.float().mean(dim=(1, 2, 3)).tolist() == pytest.approx([6 * n for n in range(17, 34)], abs=2)


def test_scenes_are_found_and_kept_apart(tmp_path, film, greys, planned):
    dark, light = np.full((64, 64, 3), 20, np.uint8), np.full((64, 64, 3), 200, np.uint8)
    film(tmp_path / "a.mp4", [dark] * 10 + [light] * 20 + [dark] * 20, fps=16)
    (tmp_path / "a.txt").write_text("x")

    parts = planned(selection={"long_clips": "scenes"})

    assert [(name, round(frames.float().mean().item(), -1)) for name, frames in parts] == [
        ("a.mp4#0001", 200),
        ("a.mp4#0002", 20),
    ]


def test_of_an_uneven_rate_frames_are_taken_by_their_time(tmp_path, film, greys, planned):
    times = [40 * number for number in range(20)] + [800 + 120 * number for number in range(20)]
    film(tmp_path / "a.mp4", greys(40), milliseconds=times)
    (tmp_path / "a.txt").write_text("x")

    [(_, frames)] = planned(frames=29, fps=10)

    brightness = frames.float().mean(dim=(1, 2, 3)).numpy()
    by_time = [6 * np.abs(np.array(times) - 100 * step).argmin() for step in range(29)]
    assert np.abs(brightness - by_time).max() < 8  # a tie may fall to either side


@pytest.mark.parametrize(("parity", "white"), [("none", 1.0), ("fastvideo", 0.5)])
def test_pixels_that_are_not_square_are_made_so(tmp_path, parity, white):
    # 64x64 pixels, each twice as wide as high, are watched as 128x64: of a square picture only the middle half is left.
    only_the_middle = np.zeros((64, 64, 3), np.uint8)
    only_the_middle[:, 16:48] = 255

    square = cropped_and_resized(torch.from_numpy(only_the_middle).permute(2, 0, 1)[None], 64, 64, parity, 2.0)

    assert square.float().mean().item() / 255 == pytest.approx(white, abs=0.01)


def test_a_picture_is_read_as_a_clip_of_one_frame(tmp_path, planned):
    Image.new("RGB", (100, 100), (255, 0, 0)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("red")

    [(name, frames)] = planned(frames=1)

    assert (name, tuple(frames.shape)) == ("a.png", (1, 3, 64, 96))
    assert frames[0, :, 5, 5].tolist() == [255, 0, 0]
