"""Write clips of the small world as a merged folder, the form in which FastVideo's own sample sets come."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fastvideo_engine.errors import DataError
from fastvideo_engine.media import write_mp4
from fastvideo_engine.run_folder import write_whole
from fastvideo_engine.world.drawing import draw
from fastvideo_engine.world.scenes import BACKGROUNDS, COLOURS, FPS, MOTIONS, SIZE, Kind, every_kind, placed_scene

HELD_OUT_KINDS = 64
"""So many of the 640 moving scenes are in no dataset: what they look like can only be put together from others."""
_SPLIT_SEED = 0


def run(effect: str | None, clips: int, frames: int, seed: int, out: Path) -> None:
    """Write a dataset and say where."""
    write_dataset(out, effect, clips, frames, seed)
    print(f"Wrote {clips} clips with captions to {out}.")


def write_dataset(folder: Path, effect: str | None, clips: int, frames: int, seed: int) -> None:
    """Write `videos/` and `videos2caption.json`, the same ones for the same seed.

    Without an effect the shapes move, in every way but those that `held_out_motions` lists; with one they stay in
    place, in half of all pairs of colour and background (`unseen_pairs` are the others). Raises `DataError` when the
    folder holds a dataset already.
    """
    listing = folder / "videos2caption.json"
    if listing.exists():
        raise DataError(f"{folder} holds a dataset already; choose another folder.")
    random = np.random.default_rng(seed)
    kinds = seen_motions() if effect is None else seen_effects(effect)
    entries = []
    for number, kind in enumerate(_in_turns(kinds, clips, random)):
        scene = placed_scene(kind, random)
        name = f"{effect or 'motion'}_{number:04}.mp4"
        write_mp4(folder / "videos" / name, draw(scene, frames), FPS, {})
        entries.append(_entry(name, scene.caption, frames))
    write_whole(listing, json.dumps(entries, indent=1))


def seen_motions() -> list[Kind]:
    """List the moving scenes that datasets are made of."""
    held_out = set(held_out_motions())
    return [kind for kind in every_kind(MOTIONS) if kind not in held_out]


def held_out_motions() -> list[Kind]:
    """List the moving scenes that no dataset shows; each colour, shape, background and motion is in others."""
    kinds = every_kind(MOTIONS)
    chosen = np.random.default_rng(_SPLIT_SEED).permutation(len(kinds))[:HELD_OUT_KINDS]
    return [kinds[int(number)] for number in sorted(chosen)]


def seen_effects(effect: str) -> list[Kind]:
    """List the scenes that a dataset of an effect is made of."""
    unseen = set(unseen_pairs())
    return [kind for kind in every_kind([effect]) if (kind[0], kind[2]) not in unseen]


def unseen_pairs() -> list[tuple[str, str]]:
    """List the 20 pairs of colour and background that no dataset of an effect shows: every second of a chessboard."""
    return [
        (colour, background)
        for row, colour in enumerate(COLOURS)
        for column, background in enumerate(BACKGROUNDS)
        if (row + column) % 2
    ]


def _in_turns(kinds: Sequence[Kind], count: int, random: np.random.Generator) -> list[Kind]:
    """Choose so many kinds, none a second time before all had their turn."""
    rounds = -(-count // len(kinds))
    return [kinds[int(number)] for _ in range(rounds) for number in random.permutation(len(kinds))][:count]


def _entry(name: str, caption: str, frames: int) -> dict[str, object]:
    resolution = {"width": SIZE, "height": SIZE}
    facts = {"fps": float(FPS), "num_frames": frames, "duration": frames / FPS, "resolution": resolution}
    return {"path": name, "cap": [caption], **facts}
