"""Generate clips that take as long to decode as filmed ones: a grainy picture that drifts, behind coloured waves."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fastvideo_engine.media import write_mp4

SOURCE_FPS = 24
# Wider than the training clips, so that there is something to cut off.
_SOURCE_WIDTH = 854 / 832
_FRAMES_TO_SPARE = 4


def make_clips(folder: Path, count: int, height: int, width: int, seconds: float) -> list[dict[str, str]]:
    """Write clips a little longer than so many seconds; return the path and caption of each."""
    generator = np.random.default_rng(7)
    frames = math.ceil(seconds * SOURCE_FPS) + _FRAMES_TO_SPARE
    source_width = round(width * _SOURCE_WIDTH / 2) * 2
    grain = generator.normal(0, 12, (height, source_width, 3)).astype(np.float32)
    listed = []
    for number in range(count):
        path = folder / f"clip_{number:03}.mp4"
        write_mp4(path, _frames(grain, number, frames), SOURCE_FPS, {})
        listed.append({"path": str(path), "caption": f"Coloured waves number {number} drift over a grainy wall."})
    return listed


def write_manifest(path: Path, clips: Sequence[dict[str, str]]) -> Path:
    """List clips, one a line."""
    path.write_text("".join(json.dumps(clip) + "\n" for clip in clips), encoding="utf-8")
    return path


def _frames(grain: np.ndarray, number: int, count: int) -> Iterator[np.ndarray]:
    height, width = grain.shape[:2]
    down, across = np.linspace(0, 6, height, dtype=np.float32)[:, None], np.linspace(0, 9, width, dtype=np.float32)
    for frame in range(count):
        phase = 0.1 * frame + number
        waves = np.stack([np.sin(across + phase) + np.cos(down * (1 + tone / 3) - phase) for tone in range(3)], axis=-1)
        drifting = np.roll(grain, (number * 17 + frame, number * 29 + 2 * frame), axis=(0, 1))
        yield np.clip(128 + 45 * waves + drifting, 0, 255).astype(np.uint8)
