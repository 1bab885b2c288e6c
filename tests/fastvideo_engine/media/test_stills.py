"""Pictures are videos of one frame, whatever they are called."""

import numpy as np
import pytest
from PIL import Image

from fastvideo_engine.errors import ClipError
from fastvideo_engine.media import probe, read_rgb_frames, write_poster, write_proxy
from fastvideo_engine.media.stills import is_still

_RED = (255, 0, 0)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tiff", "webp"])
def test_a_picture_has_one_frame_of_its_colours(tmp_path, ending):
    Image.new("RGB", (96, 64), _RED).save(tmp_path / f"a.{ending}")

    facts = probe(tmp_path / f"a.{ending}")

    assert (facts.width, facts.height, facts.frames, facts.is_still) == (96, 64, 1, True)
    frames = read_rgb_frames(tmp_path / f"a.{ending}", [0])
    assert frames.shape == (1, 64, 96, 3)
    assert np.abs(frames.mean(axis=(0, 1, 2)) - _RED).max() < 3


def test_content_and_not_the_name_tells_a_picture(tmp_path, make_clip):
    Image.new("RGB", (32, 32), _RED).save(tmp_path / "a.mp4", "PNG")
    make_clip(tmp_path / "b.mp4", seconds=0.5).rename(tmp_path / "b.png")

    assert is_still(tmp_path / "a.mp4")
    assert not is_still(tmp_path / "b.png")
    assert probe(tmp_path / "b.png").frames == 12


def test_a_moving_gif_is_a_video(tmp_path):
    first, *rest = (Image.new("RGB", (32, 32), (grey, grey, grey)) for grey in (0, 120, 240))
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest, duration=100)

    facts = probe(tmp_path / "a.gif")
    assert (facts.frames, facts.is_still) == (3, False)


def test_what_is_transparent_becomes_white(tmp_path):
    Image.new("RGBA", (32, 32), (255, 0, 0, 0)).save(tmp_path / "a.png")

    assert read_rgb_frames(tmp_path / "a.png", [0]).min() == 255


def test_sixteen_bits_are_scaled_and_not_cut_off(tmp_path):
    Image.fromarray(np.full((32, 32), 0x8000, np.uint16)).save(tmp_path / "a.png")

    assert read_rgb_frames(tmp_path / "a.png", [0]).mean() == 128


def test_a_camera_turned_on_its_side_is_set_upright(tmp_path):
    picture = Image.new("RGB", (96, 64))
    exif = picture.getexif()
    exif[0x0112] = 6  # the orientation: a quarter turn clockwise
    picture.save(tmp_path / "a.jpg", exif=exif)

    assert (probe(tmp_path / "a.jpg").width, probe(tmp_path / "a.jpg").height) == (64, 96)


def test_half_a_picture_is_refused(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])

    with pytest.raises(ClipError, match=r"^The picture is damaged \("):
        probe(tmp_path / "a.png")


def test_a_picture_has_a_poster_and_a_copy_that_browsers_play(tmp_path):
    Image.new("RGB", (96, 64), _RED).save(tmp_path / "a.png")

    write_poster(tmp_path / "a.png", tmp_path / "a.jpg", height=32)
    write_proxy(tmp_path / "a.png", tmp_path / "a.mp4")

    assert probe(tmp_path / "a.jpg").width == 48
    assert probe(tmp_path / "a.mp4").frames == 1
