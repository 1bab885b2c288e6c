"""Which frames of a video become training clips, and why it cannot be used: asked by pages and preprocessing alike."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fastvideo_engine.errors import ClipError
from fastvideo_engine.families import Family
from fastvideo_engine.media.probing import ClipFacts
from fastvideo_engine.specs.preprocess import PreprocessSpec

# The shapes of film and phones; a bucket for each has the area that the spec asks for.
_ASPECTS = (16 / 9, 3 / 2, 4 / 3, 1, 3 / 4, 2 / 3, 9 / 16)
_SHARES_OF_LENGTH = (1, 1 / 2, 1 / 4)
# A rate such as 30000/1001 is no exact float; a frame must not appear or vanish by that.
_ROUNDING = 1e-6
# A day at 48 frames a second. A file that claims a frame a year must not fill the memory with repetitions.
_MOST_FRAMES = 4_000_000


@dataclass(frozen=True)
class Verdict:
    """Why a video cannot be used, in a sentence, and the field of the spec to change, where one would help."""

    reason: str
    field: str | None = None


class UnusableError(ClipError):
    """A rule leaves the video out."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.field = verdict.field


@dataclass(frozen=True)
class Shape:
    """What a clip is brought to, in pixels and frames."""

    height: int
    width: int
    frames: int


@dataclass(frozen=True)
class Cut:
    """One training clip: the frames to take of a video, by number in showing order, and the shape to bring them to."""

    id: str
    frames: tuple[int, ...]
    shape: Shape


def verdict_on(clip_id: str, caption: str, facts: ClipFacts, spec: PreprocessSpec) -> Verdict | None:
    """Judge a video before any of its frames is read; None when it can be used."""
    if not caption.strip():
        return Verdict("It has no caption.", "source.caption_column" if spec.source.type == "hf" else None)
    found, needed = len(_all_frames(facts, spec)), _fewest_frames(facts, spec)
    if found < needed and chance(spec.seed, "short", clip_id) < spec.selection.drop_short_ratio:
        return Verdict(_too_short(facts, found, spec.fps, needed), "frames")
    longest, splits = spec.selection.longest, spec.selection.long_clips in ("split", "scenes")
    seconds_needed = spec.frames / spec.fps * spec.selection.speed_factor
    if longest is not None and not splits and facts.frames / facts.fps > longest * seconds_needed:
        return Verdict(
            f"It lasts {facts.duration_seconds:.1f} s, and {longest * seconds_needed:.1f} s is the longest allowed "
            f"({longest:.4g} times what is needed): allow longer ones, or split long videos.",
            "selection.longest",
        )
    return None


def cuts_of(
    clip_id: str, caption: str, facts: ClipFacts, spec: PreprocessSpec, family: Family, scene_starts: Sequence[int] = ()
) -> list[Cut]:
    """Say which training clips a video gives, in its order; raise `UnusableError` with the verdict when it gives none.

    `scene_starts` are the frames at which scenes begin, asked for with `long_clips: scenes` only. A video that may
    give several has their numbers behind its id, `name#0001` on; so has its only one, lest that id mean another thing.
    """
    verdict = verdict_on(clip_id, caption, facts, spec)
    if verdict:
        raise UnusableError(verdict)
    everything = _all_frames(facts, spec)
    shape = shape_of(facts, len(everything), spec, family)
    windows = _windows(clip_id, everything, shape.frames, spec, scene_starts)
    if not windows:
        raise UnusableError(
            Verdict(f"None of its scenes gives {_frames(shape.frames)} at {spec.fps:.4g} fps.", "selection.long_clips")
        )
    if facts.is_still or spec.selection.long_clips in ("head", "random"):
        return [Cut(clip_id, tuple(windows[0]), shape)]
    return [Cut(f"{clip_id}#{number:04d}", tuple(window), shape) for number, window in enumerate(windows, start=1)]


def shape_of(facts: ClipFacts, found: int, spec: PreprocessSpec, family: Family) -> Shape:
    """Choose the shape for a video that gives so many frames: the spec's own, or the bucket nearest to the video."""
    if not spec.output.buckets:
        return Shape(spec.height, spec.width, _whole_latents(min(found, spec.frames), family))
    lengths = [_whole_latents(math.ceil(spec.frames * share), family) for share in _SHARES_OF_LENGTH]
    frames = next((length for length in lengths if length <= found), _whole_latents(found, family))
    aspect = facts.width * facts.pixel_aspect / facts.height
    height, width = min(_sizes_of_equal_area(spec, family), key=lambda size: abs(math.log(size[1] / size[0] / aspect)))
    return Shape(height, width, frames)


def chosen_frames(facts: ClipFacts, fps: float, frames: int, parity: str = "none", speed: float = 1.0) -> list[int]:
    """Choose frames from the video's start so that they follow each other at `fps`; fewer when it is short.

    A video slower than `fps` repeats frames; what comes after the last chosen frame is left out.
    """
    if facts.is_still:
        return [0]
    if parity == "fastvideo":
        # FastVideo's very arithmetic: steps in floating point, cut to whole numbers, the speed not applied.
        step = facts.fps / fps
        numbers = np.arange(0, min(facts.frames, step * _MOST_FRAMES), step).astype(int)
        return [int(number) for number in numbers[:frames] if number < facts.frames]
    return _nearest_in_time(facts, speed / fps, frames)


def chance(seed: int, purpose: str, clip_id: str) -> float:
    """Draw a number from 0 up to 1 that is the same for a clip whenever and wherever it is drawn."""
    return random.Random(f"{seed}:{purpose}:{clip_id}").random()


def _nearest_in_time(facts: ClipFacts, step_seconds: float, at_most: int) -> list[int]:
    count = min(at_most, math.ceil(facts.duration_seconds / step_seconds - _ROUNDING))
    moments = np.arange(count) * step_seconds
    if not facts.timestamps:
        numbers = np.floor(moments * facts.fps + 0.5 + _ROUNDING).astype(int)
    else:
        # Of a rate that varies only the times tell: frame 100 of a phone's video may come at any moment.
        shown = np.array(facts.timestamps)
        numbers = np.searchsorted((shown[1:] + shown[:-1]) / 2, moments, side="right")
    return [int(number) for number in np.minimum(numbers, facts.frames - 1)]


def _all_frames(facts: ClipFacts, spec: PreprocessSpec) -> list[int]:
    return chosen_frames(facts, spec.fps, _MOST_FRAMES, spec.parity, spec.selection.speed_factor)


def _fewest_frames(facts: ClipFacts, spec: PreprocessSpec) -> int:
    if not spec.output.buckets:
        return spec.frames
    return 1 if facts.is_still else math.ceil(spec.frames * _SHARES_OF_LENGTH[-1])


def _windows(
    clip_id: str, everything: list[int], frames: int, spec: PreprocessSpec, scene_starts: Sequence[int]
) -> list[list[int]]:
    match spec.selection.long_clips:
        case "head":
            return [everything[:frames]]
        case "random":
            start = int(chance(spec.seed, "window", clip_id) * (len(everything) - frames + 1))
            return [everything[start : start + frames]]
        case "split":
            return _equal_parts(everything, frames)
        case "scenes":
            borders = [0, *(start for start in scene_starts if start > 0), everything[-1] + 1]
            scenes = pairwise(borders)
            return [
                part
                for begin, end in scenes
                for part in _equal_parts([number for number in everything if begin <= number < end], frames)
            ]


def _equal_parts(numbers: list[int], frames: int) -> list[list[int]]:
    return [numbers[start : start + frames] for start in range(0, len(numbers) - frames + 1, frames)]


def _whole_latents(frames: int, family: Family) -> int:
    return (max(1, frames) - 1) // family.frame_stride * family.frame_stride + 1


def _sizes_of_equal_area(spec: PreprocessSpec, family: Family) -> list[tuple[int, int]]:
    def side(pixels: float) -> int:
        return max(1, round(pixels / family.size_multiple)) * family.size_multiple

    area = spec.height * spec.width
    others = [(side(math.sqrt(area / aspect)), side(math.sqrt(area * aspect))) for aspect in _ASPECTS]
    return [(spec.height, spec.width), *others]


def _too_short(facts: ClipFacts, found: int, fps: float, needed: int) -> str:
    if facts.is_still:
        return f"It is a picture, which is one frame; {_frames(needed)} are needed: choose 1 frame, or buckets."
    return (
        f"{facts.duration_seconds:.1f} s at {facts.fps:.4g} fps gives {_frames(found)} at {fps:.4g} fps; "
        f"{needed} are needed: choose fewer frames or a longer clip."
    )


def _frames(count: int) -> str:
    return f"{count} frame" if count == 1 else f"{count} frames"
