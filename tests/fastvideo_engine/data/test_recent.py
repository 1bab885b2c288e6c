"""Clips stay in memory while there is room, the last used longest."""

from fastvideo_engine.data.loader import open_parquet
from fastvideo_engine.data.recent import RecentClips


def test_clips_are_those_of_parquet_and_the_last_used_ones_stay_within_the_room(fastvideo_fixtures):
    clips = open_parquet(fastvideo_fixtures / "t2v")
    size = sum(tensor.nbytes for tensor in clips.read(0)[:2])
    recent = RecentClips(clips, room=size * 5 // 2)
    first = recent.read(0)
    assert first.latent.equal(clips.read(0).latent)
    recent.read(1)
    assert recent.read(0) is first
    second = recent.read(1)
    recent.read(2)
    assert recent.read(1) is second
    assert recent.read(0) is not first
