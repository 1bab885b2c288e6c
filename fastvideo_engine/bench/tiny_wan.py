"""Measure what the bundled model has learnt, and what a LoRA learns on it, in clips of the small world."""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from fastvideo_engine import assets
from fastvideo_engine.adapters.applied import load_adapter
from fastvideo_engine.attention.padding import attend_to_padding_once
from fastvideo_engine.components import load_transformer, load_vae
from fastvideo_engine.data.preprocess import run as preprocess_clips
from fastvideo_engine.families import family_of_folder
from fastvideo_engine.run_folder import RunFolder, write_whole
from fastvideo_engine.sampling.pipeline import Sampler, new_pipeline
from fastvideo_engine.sampling.shots import Look, encode_shots, one_shot_a_prompt
from fastvideo_engine.specs import PreprocessSpec, TrainSpec
from fastvideo_engine.training.loop import run as train
from fastvideo_engine.training.vae import held_out_clips, psnr
from fastvideo_engine.world.dataset import held_out_motions, unseen_pairs, write_dataset
from fastvideo_engine.world.drawing import draw
from fastvideo_engine.world.judging import Seen, judge
from fastvideo_engine.world.scenes import FPS, FRAMES, SHAPES, SIZE, Kind, Scene, placed_scene

TINY_WAN = assets.MODELS / "tiny-wan"
TINY_WAN_IMAGE = assets.MODELS / "tiny-wan-i2v"
_LORA_PRESET = assets.FOLDER / "presets" / "train-1-lora-tiny.yaml"
_CRUSHED = 0.6  # of its height is left of a shape, or less
_EFFECT = "crush"


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, what came out, what it must reach."""

    what: str
    figure: float
    bound: float
    at_most: bool = False
    is_time: bool = False
    """Depends on the machine and on what else it does."""

    @property
    def holds(self) -> bool:
        return self.figure <= self.bound if self.at_most else self.figure >= self.bound


def run(model: Path | None, image_model: Path | None, only: str | None, out: Path | None) -> None:
    """Measure, print the table, and write it as JSON where asked."""
    text, image = model or TINY_WAN, image_model or TINY_WAN_IMAGE
    parts: dict[str, Callable[[], list[Row]]] = {
        "vae": lambda: [vae_row(text)],
        "text": lambda: [judge_row(), *text_rows(text)],
        "image": lambda: image_rows(image),
        "lora": lambda: lora_rows(text),
    }
    rows: list[Row] = []
    for name, measure in parts.items():
        if only in (None, name):
            rows += measure()
    width = max(len(row.what) for row in rows)
    for row in rows:
        sign, verdict = "<=" if row.at_most else ">=", "holds" if row.holds else "MISSED"
        print(f"{row.what:<{width}}  {row.figure:8.2f}  {sign} {row.bound:g}  {verdict}")
    if out is not None:
        write_whole(out, json.dumps([{**asdict(row), "holds": row.holds} for row in rows], indent=1))


def vae_row(model: Path) -> Row:
    """Encode and decode 32 clips that the VAE was not trained on, effects among them."""
    vae = load_vae(model, torch.device("cpu"))
    ratios = []
    with torch.no_grad():
        for clip in torch.split(held_out_clips(32, FRAMES), 4):
            ratios.append(psnr(vae.decode(vae.encode(clip).latent_dist.mean).sample, clip))
    return Row("VAE round trip on 32 held-out clips, mean PSNR in dB", torch.cat(ratios).mean().item(), 27)


def judge_row() -> Row:
    """Judge real clips: the measurement itself must be right before it may judge a model."""
    scenes = [*_held_out_scenes(held_out_motions(), seed=1), *_held_out_scenes(held_out_motions(), seed=2)]
    right = [_is_right(judge(draw(scene, FRAMES)), scene) for scene in scenes]
    return Row("Real clips judged rightly, %", _percent(right), 99)


def text_rows(model: Path) -> list[Row]:
    """Sample 64 prompts of combinations that were in no training set."""
    scenes = _held_out_scenes(held_out_motions(), seed=1)
    began = time.perf_counter()
    seen = _judged(model, scenes)
    seconds = (time.perf_counter() - began) / len(scenes)
    return [
        Row("64 held-out prompts, right colour, %", _percent(_colours(seen, scenes)), 90),
        Row("64 held-out prompts, right direction, %", _percent(_motions(seen, scenes)), 90),
        Row("Seconds to sample a clip", seconds, 15, at_most=True, is_time=True),
    ]


def image_rows(model: Path) -> list[Row]:
    """Go on from the first frame of 32 clips that were in no training set."""
    scenes = _held_out_scenes(held_out_motions()[::2], seed=3)
    pictures = [draw(scene, FRAMES)[0] for scene in scenes]
    videos = list(_sampled(model, [scene.caption for scene in scenes], pictures))
    ratios = [_psnr(video[0], picture) for video, picture in zip(videos, pictures, strict=True)]
    seen = [judge(video) for video in videos]
    return [
        Row("First frame against the given image, mean PSNR in dB", float(np.mean(ratios)), 24),
        Row("32 held-out images, right direction, %", _percent(_motions(seen, scenes)), 80),
    ]


def lora_rows(model: Path) -> list[Row]:
    """Train the quick LoRA on 24 clips of an effect, and see where it shows and where not."""
    random = np.random.default_rng(4)
    pairs = unseen_pairs()
    crushed = [
        placed_scene((colour, SHAPES[number % 4], background, _EFFECT), random)
        for number, (colour, background) in enumerate(pairs)
    ]
    plain = _held_out_scenes(held_out_motions()[:20], seed=5)
    with tempfile.TemporaryDirectory(prefix="tiny-wan-") as scratch:
        adapter, seconds = _trained(model, Path(scratch))
        with_effect = _judged(model, crushed, adapter)
        without_words = _judged(model, plain, adapter)
    base = _judged(model, crushed)
    return [
        Row("Minutes to train the LoRA", seconds / 60, 5, at_most=True, is_time=True),
        Row("LoRA: 20 unseen pairs, the effect shows, %", _percent(_effects(with_effect)), 80),
        Row("Base: 20 unseen pairs, the effect shows, %", _percent(_effects(base)), 10, at_most=True),
        Row("LoRA: 20 prompts without the effect, right direction, %", _percent(_motions(without_words, plain)), 80),
    ]


def _trained(model: Path, folder: Path) -> tuple[Path, float]:
    """Preprocess the sample clips and train on them as the preset says; return the adapter and the seconds it took."""
    write_dataset(folder / "clips", _EFFECT, clips=24, frames=FRAMES, seed=1)
    source = {"type": "merged", "path": str(folder / "clips")}
    sizes = {"height": SIZE, "width": SIZE, "frames": FRAMES, "fps": FPS}
    ready = RunFolder(folder / "ready")
    ready.path.mkdir()
    preprocess_clips(PreprocessSpec.model_validate({"model": str(model), "source": source, **sizes}), ready)
    trained = RunFolder(folder / "trained")
    trained.path.mkdir()
    began = time.perf_counter()
    train(TrainSpec.model_validate({**_preset(), "model": str(model), "parquet": str(ready.parquet)}), trained)
    newest = trained.newest_checkpoint()
    assert newest is not None, "the last step is always saved"
    return newest.adapter, time.perf_counter() - began


def _judged(model: Path, scenes: Sequence[Scene], adapter: Path | None = None) -> list[Seen]:
    videos = _sampled(model, [scene.caption for scene in scenes], [], adapter)
    return [judge(video) for video in videos]


def _sampled(
    model: Path, prompts: Sequence[str], pictures: Sequence[np.ndarray], adapter: Path | None = None
) -> Iterator[np.ndarray]:
    """Sample each prompt from a seed of its own; yield frames THWC."""
    device, family = torch.device("cpu"), family_of_folder(model)
    with tempfile.TemporaryDirectory(prefix="tiny-wan-") as scratch:
        images = [_saved(picture, Path(scratch) / f"{number}.png") for number, picture in enumerate(pictures)]
        alike = one_shot_a_prompt(prompts, images, _default_look())
        shots = [replace(shot, look=replace(shot.look, seed=seed)) for seed, shot in enumerate(alike)]
        encoded = encode_shots(shots, "", model, family, device)
    transformer = load_transformer(model, device)
    attend_to_padding_once(transformer)
    if adapter is not None:
        load_adapter(transformer, adapter, 1.0)
    sampler = Sampler(new_pipeline(model, family, {"transformer": transformer}, None, bool(images), device), encoded)
    for number in range(len(encoded)):
        print(f"\r{number + 1} of {len(encoded)} clips sampled", end="", file=sys.stderr, flush=True)
        yield sampler.frames(number, lambda: False)
    print(file=sys.stderr)


def _default_look() -> Look:
    """Sample as the studio does when nothing else is said."""
    asked = _preset()["validation"]
    return Look(
        seed=0,
        sampling_steps=asked["sampling_steps"],
        guidance_scale=asked["guidance_scale"],
        height=SIZE,
        width=SIZE,
        frames=FRAMES,
        fps=FPS,
    )


def _preset() -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load(_LORA_PRESET.read_text(encoding="utf-8"))["settings"]
    return settings


def _held_out_scenes(kinds: Sequence[Kind], seed: int) -> list[Scene]:
    random = np.random.default_rng(seed)
    return [placed_scene(kind, random) for kind in kinds]


def _is_right(seen: Seen, scene: Scene) -> bool:
    return seen.colour == scene.colour and seen.motion == scene.action


def _colours(seen: Sequence[Seen], scenes: Sequence[Scene]) -> list[bool]:
    return [each.colour == scene.colour for each, scene in zip(seen, scenes, strict=True)]


def _motions(seen: Sequence[Seen], scenes: Sequence[Scene]) -> list[bool]:
    return [each.motion == scene.action for each, scene in zip(seen, scenes, strict=True)]


def _effects(seen: Sequence[Seen]) -> list[bool]:
    return [each.height_left is not None and each.height_left <= _CRUSHED for each in seen]


def _percent(right: Sequence[bool]) -> float:
    return 100 * sum(right) / len(right)


def _psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = np.square((one.astype(np.float64) - other) / 255).mean()
    return float(-10 * np.log10(max(error, 1e-10)))


def _saved(picture: np.ndarray, path: Path) -> str:
    Image.fromarray(picture).save(path)
    return str(path)
