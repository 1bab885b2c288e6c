"""From listed videos to batches of frames: probed, cut and read ahead, none of them held longer than it is needed."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from fastvideo_engine.clip_rules import Cut, UnusableError, verdict_on
from fastvideo_engine.data.ahead import worked_ahead
from fastvideo_engine.data.arrivals import Arrival, arriving
from fastvideo_engine.data.changes import content_of, stamp_of
from fastvideo_engine.data.frames import plan, read_cut
from fastvideo_engine.data.sources import Clip
from fastvideo_engine.errors import ClipError
from fastvideo_engine.families import Family
from fastvideo_engine.media import ClipFacts, probe
from fastvideo_engine.specs.preprocess import PreprocessSpec


@dataclass(frozen=True)
class Video:
    """A video that can be used, and the clips that it gives."""

    arrival: Arrival
    facts: ClipFacts
    content: str
    stamp: str
    cuts: Sequence[Cut]

    @property
    def clip(self) -> Clip:
        return self.arrival.clip


@dataclass(frozen=True)
class Part:
    """One clip of a video with its frames, TCHW uint8 of its shape."""

    video: Video
    cut: Cut
    frames: Tensor


Refuse = Callable[[Clip, ClipError, Cut | None, Video | None], None]
"""Told of what cannot be used: a listed video, or (with the last two) one clip of it."""


def check(clip: Clip, spec: PreprocessSpec) -> None:
    """Judge a video that lies on the disk without reading its frames; raise `ClipError` when it cannot be used."""
    if clip.problem:
        raise ClipError(clip.problem)
    verdict = verdict_on(clip.id, clip.caption, probe(clip.path), spec)
    if verdict:
        raise UnusableError(verdict)


def parts_of(
    clips: Sequence[Clip],
    spec: PreprocessSpec,
    family: Family,
    scratch: Path,
    done: Collection[str],
    refuse: Refuse,
) -> Iterator[Part]:
    """Yield the clips of videos in their order but for those done already; what cannot be used is refused instead."""
    arrivals = arriving(spec, clips, scratch)
    ahead = spec.decoding.workers
    videos = worked_ahead(lambda arrival: _looked_at(arrival, spec, family), arrivals, ahead)
    cuts = ((video, cut) for video in _usable(videos, refuse) for cut in video.cuts if cut.id not in done)
    for (video, cut), read in worked_ahead(lambda pair: _frames_of(*pair, spec), cuts, ahead):
        try:
            frames = read()
        except ClipError as error:
            refuse(video.clip, error, cut, video)
        else:
            yield Part(video, cut, frames)


def in_batches(parts: Iterable[Part], size: int) -> Iterator[list[Part]]:
    """Put neighbours of one shape together, up to so many."""
    together: list[Part] = []
    for part in parts:
        if together and part.cut.shape != together[0].cut.shape:
            yield together
            together = []
        together.append(part)
        if len(together) == size:
            yield together
            together = []
    if together:
        yield together


def _usable(videos: Iterator[tuple[Arrival, Callable[[], Video]]], refuse: Refuse) -> Iterator[Video]:
    for arrival, look in videos:
        try:
            video = look()
        except ClipError as error:
            refuse(arrival.clip, error, None, None)
        else:
            yield video


def _looked_at(arrival: Arrival, spec: PreprocessSpec, family: Family) -> Video:
    clip, stamp = arrival.clip, stamp_of(arrival.clip)
    file = arrival.file()
    facts, cuts = plan(file, clip, spec, family)
    return Video(arrival, facts, content_of(file), stamp, cuts)


def _frames_of(video: Video, cut: Cut, spec: PreprocessSpec) -> Tensor:
    return read_cut(video.arrival.file(), video.facts, cut, spec)
