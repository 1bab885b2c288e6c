"""What a video file is, and why it is none."""

from dataclasses import replace

import av
import numpy as np
import pytest

from fastvideo_engine.errors import ClipError
from fastvideo_engine.media import plays_in_browsers, probe


def _turned(clip, path, degrees):
    with av.open(str(clip)) as source, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(degrees)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    return path


def test_a_clip_is_measured_as_it_was_written(tmp_path, make_clip):
    facts = probe(make_clip(tmp_path / "a.mp4", seconds=1.5, fps=24, size=(160, 120)))

    assert (facts.width, facts.height, facts.fps, facts.frames) == (160, 120, 24, 36)
    assert (facts.duration_seconds, facts.codec, facts.pixel_format) == (1.5, "h264", "yuv420p")


def test_broadcast_rates_are_kept_exactly(tmp_path, make_clip):
    assert probe(make_clip(tmp_path / "a.mp4", fps=30000 / 1001)).fps == pytest.approx(30000 / 1001, abs=1e-12)


def test_a_clip_turned_by_its_metadata_is_measured_as_it_is_watched(tmp_path, make_clip):
    upright = _turned(make_clip(tmp_path / "a.mp4", size=(160, 120)), tmp_path / "turned.mp4", 90)

    assert (probe(upright).width, probe(upright).height) == (120, 160)


def test_frames_are_counted_when_the_container_does_not_say(tmp_path, make_clip):
    webm = tmp_path / "a.mkv"
    with av.open(str(make_clip(tmp_path / "a.mp4", seconds=1))) as source, av.open(str(webm), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)

    assert probe(webm).frames == 24


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("text", "The file is damaged or not a video."),
        ("empty", "The file is empty."),
        ("cut short", "The file is damaged: its end is missing."),
    ],
)
def test_a_spoilt_file_is_refused_with_the_reason(tmp_path, spoilt, how, reason):
    with pytest.raises(ClipError) as refusal:
        probe(spoilt(tmp_path / "bad.mp4", how))

    assert str(refusal.value) == reason


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ClipError, match=r"^The file is missing\.$"):
        probe(tmp_path / "nothing.mp4")


def test_a_git_lfs_pointer_is_recognised(tmp_path):
    pointer = tmp_path / "a.mp4"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")

    with pytest.raises(ClipError, match="git lfs pull"):
        probe(pointer)


def test_a_file_with_sound_alone_is_refused(tmp_path):
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44100
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))

    with pytest.raises(ClipError, match="It has no pictures"):
        probe(sound)


def test_a_playlist_cannot_lead_to_other_files(tmp_path, make_clip):
    secret = make_clip(tmp_path / "secret.mp4")
    playlist = tmp_path / "a.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{secret}\n#EXT-X-ENDLIST\n")

    with pytest.raises(ClipError):
        probe(playlist)


def test_browsers_play_h264_in_mp4_but_not_in_avi_nor_with_ten_bits(tmp_path, make_clip):
    facts = probe(make_clip(tmp_path / "a.mp4"))

    assert plays_in_browsers(facts)
    assert not plays_in_browsers(replace(facts, container="avi"))
    assert not plays_in_browsers(replace(facts, pixel_format="yuv420p10le"))
    assert not plays_in_browsers(replace(facts, codec="hevc"))
