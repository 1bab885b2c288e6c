"""Files from phones, cameras, editors and broken downloads are read as they are meant, or refused in a sentence."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from fastvideo_engine.errors import ClipError
from fastvideo_engine.media import probe, read_rgb_frames

# Two seconds at 25 frames a second, then as many frames at a third of that rate.
_SLOWING = [40 * number for number in range(20)] + [800 + 120 * number for number in range(20)]


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_rate_that_varies_is_told_by_the_frames_own_times(tmp_path, film, greys, ending):
    facts = probe(film(tmp_path / f"a.{ending}", greys(40), milliseconds=_SLOWING))

    assert np.allclose(facts.timestamps, np.array(_SLOWING) / 1000, atol=0.001)
    assert facts.frames == 40
    assert facts.fps == pytest.approx(39 / 3.08, rel=1e-3)


def test_times_rounded_to_milliseconds_are_a_steady_rate(tmp_path, film, greys):
    rounded = [round(number * 1000 / 24) for number in range(40)]

    facts = probe(film(tmp_path / "a.mkv", greys(40), milliseconds=rounded))

    assert (facts.timestamps, facts.frames) == ((), 40)
    assert facts.fps == pytest.approx(24, rel=1e-2)


def test_ten_bits_are_brought_to_eight(tmp_path, film, greys):
    clip = film(tmp_path / "a.mp4", greys(12), pixels="yuv420p10le")

    assert probe(clip).pixel_format == "yuv420p10le"
    assert read_rgb_frames(clip, [10]).mean() == pytest.approx(60, abs=2)


def test_what_is_transparent_in_a_video_becomes_white(tmp_path, film):
    half_transparent_black = np.zeros((64, 64, 4), np.uint8)
    half_transparent_black[..., 3] = 128
    clip = film(tmp_path / "a.mov", [half_transparent_black] * 5, codec="qtrle", pixels="argb")

    assert read_rgb_frames(clip, [2]).mean() == pytest.approx(127, abs=1)


@pytest.mark.parametrize(("height", "width"), [(63, 95), (121, 67), (192, 108)])
def test_odd_and_portrait_sizes_are_read_whole(tmp_path, film, greys, height, width):
    clip = film(tmp_path / "a.mp4", greys(5, height, width), pixels="yuv444p")

    assert (probe(clip).height, probe(clip).width) == (height, width)
    assert read_rgb_frames(clip, [4]).shape == (1, height, width, 3)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
@pytest.mark.parametrize("ending", ["mp4", "mkv", "webm", "avi", "ts"])
def test_a_file_cut_off_anywhere_is_refused_or_is_shorter(tmp_path, film, greys, ending, share):
    codec = {"webm": "libvpx-vp9", "avi": "mpeg4"}.get(ending, "libx264")
    clip = film(tmp_path / f"a.{ending}", greys(60), codec=codec)
    content = clip.read_bytes()
    clip.write_bytes(content[: int(len(content) * share)])

    try:
        count = len(read_rgb_frames(clip, range(probe(clip).frames)))
    except ClipError as refusal:
        count, reason = 0, str(refusal)

    assert 0 < count < 60 or reason.startswith(("The file", "It "))


@pytest.mark.parametrize(("ending", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("webm", "libvpx-vp9")])
@pytest.mark.parametrize("varies", [False, True])
def test_frames_far_into_a_file_are_the_same_as_when_it_is_read_from_the_start(tmp_path, film, ending, codec, varies):
    random = np.random.default_rng(1)
    noise = random.integers(0, 128, (64, 64, 3), dtype=np.uint8)
    pictures = [np.roll(noise, 5 * number, axis=1) + np.uint8(number % 120) for number in range(220)]
    times = [int(time) for time in np.cumsum(random.integers(20, 80, 220))] if varies else None
    clip = film(tmp_path / f"a.{ending}", pictures, milliseconds=times, codec=codec, g="48")

    facts, everything = probe(clip), read_rgb_frames(clip, range(220))

    for first in (143, 144, 145, 200):
        wanted = [first, first + 2, first + 19]
        assert np.array_equal(read_rgb_frames(clip, wanted, facts), everything[wanted]), first


def test_the_cover_of_a_song_is_no_video(tmp_path):
    cover = Image.new("RGB", (64, 64))
    cover.save(tmp_path / "cover.png")
    with av.open(str(tmp_path / "cover.png")) as picture, av.open(str(tmp_path / "a.m4a"), "w", format="mp4") as song:
        stream = song.add_stream_from_template(picture.streams.video[0])
        stream.disposition = Disposition.attached_pic
        sound = song.add_stream("aac", rate=44100, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44100
        packet = next(picture.demux(picture.streams.video[0]))
        packet.stream = stream
        song.mux([packet, *sound.encode(silence), *sound.encode(None)])

    with pytest.raises(ClipError, match="It has no pictures"):
        probe(tmp_path / "a.m4a")


def test_frames_that_an_editor_cut_away_are_not_counted(tmp_path, film, greys):
    with av.open(str(film(tmp_path / "a.mp4", greys(40)))) as source, av.open(str(tmp_path / "b.mp4"), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        ten_frames = int(Fraction(10, 24) / source.streams.video[0].time_base)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - ten_frames, packet.dts - ten_frames, stream
                copy.mux(packet)

    frames = read_rgb_frames(tmp_path / "b.mp4", range(probe(tmp_path / "b.mp4").frames))

    assert len(frames) == 30
    assert frames[0].mean() == pytest.approx(60, abs=2)


@pytest.mark.parametrize(("stated", "taken"), [(Fraction(16, 11), 16 / 11), (Fraction(1, 50), 1.0)])
def test_pixels_that_are_not_square_are_known_and_nonsense_is_not_believed(tmp_path, greys, stated, taken):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = stated
        for grey in greys(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode(None))

    assert probe(tmp_path / "a.mp4").pixel_aspect == pytest.approx(taken, rel=1e-6)
