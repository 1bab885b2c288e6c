"""Frames come out by number, in the order asked for, and never painted over."""

import av
import numpy as np
import pytest

from fastvideo_engine.errors import ClipError
from fastvideo_engine.media import read_rgb_frames, write_mp4


def test_frames_are_those_that_were_numbered(tmp_path):
    grey_levels = [np.full((64, 64, 3), 6 * number, np.uint8) for number in range(40)]
    write_mp4(tmp_path / "a.mp4", grey_levels, 24, {})

    frames = read_rgb_frames(tmp_path / "a.mp4", [0, 7, 7, 39])

    assert frames.shape == (4, 64, 64, 3)
    assert np.allclose(frames.mean(axis=(1, 2, 3)), [0, 42, 42, 234], atol=2)


def test_a_quarter_turn_in_the_metadata_is_made(tmp_path):
    left_is_white = np.zeros((64, 96, 3), np.uint8)
    left_is_white[:, :48] = 255
    write_mp4(tmp_path / "a.mp4", [left_is_white] * 3, 24, {})
    with av.open(str(tmp_path / "a.mp4")) as source, av.open(str(tmp_path / "turned.mp4"), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(90)  # counter-clockwise: what was left is now below
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)

    frame = read_rgb_frames(tmp_path / "turned.mp4", [0])[0]

    assert frame.shape == (96, 64, 3)
    assert frame[:40].mean() < 5
    assert frame[56:].mean() > 250


def test_damage_before_the_last_wanted_frame_is_an_error(tmp_path, spoilt):
    with pytest.raises(ClipError, match=r"^The file is damaged: "):
        read_rgb_frames(spoilt(tmp_path / "bad.mp4", "damaged in the middle"), range(40))


def test_damage_after_the_last_wanted_frame_does_not_matter(tmp_path, spoilt):
    frames = read_rgb_frames(spoilt(tmp_path / "bad.mp4", "damaged in the middle"), range(10))

    assert frames.shape[0] == 10


def test_a_frame_beyond_the_end_is_an_error(tmp_path, make_clip):
    with pytest.raises(ClipError, match="frame 24 cannot be decoded"):
        read_rgb_frames(make_clip(tmp_path / "a.mp4", seconds=1, fps=24), [0, 24])
