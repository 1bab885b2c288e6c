"""Look at, read and write video files, without torch."""

from fastvideo_engine.media.posters import write_poster
from fastvideo_engine.media.probing import ClipFacts, plays_in_browsers, probe
from fastvideo_engine.media.reading import read_rgb_frames
from fastvideo_engine.media.scenes import scene_starts
from fastvideo_engine.media.writing import write_mp4, write_proxy

__all__ = [
    "ClipFacts",
    "plays_in_browsers",
    "probe",
    "read_rgb_frames",
    "scene_starts",
    "write_mp4",
    "write_poster",
    "write_proxy",
]
