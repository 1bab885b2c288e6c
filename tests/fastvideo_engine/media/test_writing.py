"""Videos that browsers play, whole or not at all."""

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from fastvideo_engine.errors import ClipError
from fastvideo_engine.media import plays_in_browsers, probe, read_rgb_frames, write_mp4, write_poster, write_proxy


def _ramp(height, width):
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, width)
    picture[..., 1] = np.linspace(0, 255, height)[:, None]
    return picture


def test_what_is_written_is_read_back_nearly_the_same(tmp_path):
    write_mp4(tmp_path / "a.mp4", np.stack([_ramp(64, 96)] * 5), 16, {"prompt": "a ramp", "seed": "7"})

    assert np.abs(read_rgb_frames(tmp_path / "a.mp4", [4])[0].astype(int) - _ramp(64, 96)).mean() < 3
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.metadata["prompt"] == "a ramp"
        assert container.streams.video[0].average_rate == Fraction(16)


def test_the_index_comes_before_the_pictures(tmp_path):
    write_mp4(tmp_path / "a.mp4", [_ramp(64, 64)] * 3, 16, {})

    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_odd_sides_get_one_more_row_and_column(tmp_path):
    write_mp4(tmp_path / "a.mp4", [_ramp(63, 95)] * 3, 16, {})

    facts = probe(tmp_path / "a.mp4")
    assert (facts.width, facts.height) == (96, 64)


def test_a_failure_on_the_way_leaves_no_file(tmp_path):
    def frames():
        yield _ramp(64, 64)
        raise ClipError("The source broke off.")

    with pytest.raises(ClipError):
        write_mp4(tmp_path / "a.mp4", frames(), 16, {})

    assert list(tmp_path.iterdir()) == []


def test_a_proxy_of_what_browsers_cannot_play_plays_there(tmp_path):
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(_ramp(64, 96), format="rgb24")))
        container.mux(stream.encode(None))
    assert not plays_in_browsers(probe(tmp_path / "a.avi"))

    write_proxy(tmp_path / "a.avi", tmp_path / "a.mp4")

    facts = probe(tmp_path / "a.mp4")
    assert plays_in_browsers(facts)
    assert (facts.width, facts.height, facts.fps, facts.frames) == (96, 64, 24, 12)


def test_a_poster_is_the_first_frame_at_the_height_asked_for(tmp_path):
    first, later = np.full((64, 96, 3), 200, np.uint8), np.zeros((64, 96, 3), np.uint8)
    write_mp4(tmp_path / "a.mp4", [first, later, later], 16, {})

    write_poster(tmp_path / "a.mp4", tmp_path / "posters" / "a.jpg", height=32)

    picture = read_rgb_frames(tmp_path / "a.mp4", [0])[0]
    with Image.open(tmp_path / "posters" / "a.jpg") as poster:
        assert poster.size == (48, 32)
        assert np.asarray(poster).mean() == pytest.approx(picture.mean(), abs=2)
