"""Which frames of a clip are taken, and why a clip cannot be used: asked by the pages and by preprocessing alike."""

import numpy as np

from fastvideo_engine.media.probing import ClipFacts


def chosen_frames(facts: ClipFacts, fps: float, frames: int) -> list[int]:
    """Choose frames from the clip's start so that they follow each other at `fps`; fewer when the clip is short.

    A clip slower than `fps` repeats frames; what comes after the last chosen frame is left out.
    """
    # FastVideo's very arithmetic, so that both take the same frames: steps in floating point, cut to whole numbers.
    numbers = np.arange(0, facts.frames, facts.fps / fps).astype(int)
    return [int(number) for number in numbers[:frames] if number < facts.frames]


def why_unusable(facts: ClipFacts, caption: str, fps: float, frames: int) -> str | None:
    """Say in a sentence why a clip cannot become a training sample; None when it can."""
    if not caption.strip():
        return "It has no caption."
    found = len(chosen_frames(facts, fps, frames))
    if found < frames:
        return (
            f"{facts.duration_seconds:.1f} s at {facts.fps:.4g} fps gives {_frames(found)} at {fps:.4g} fps; "
            f"{frames} are needed: choose fewer frames or a longer clip."
        )
    return None


def _frames(count: int) -> str:
    return f"{count} frame" if count == 1 else f"{count} frames"
