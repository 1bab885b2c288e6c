"""Sample the validation prompts from the model as it is trained, always from the same noise."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastvideo_engine.components import part_config
from fastvideo_engine.data.loader import ParquetClips
from fastvideo_engine.distributed import Ranks
from fastvideo_engine.errors import SpecError
from fastvideo_engine.events import ArtifactMade, EventSink, Phase
from fastvideo_engine.families import Family
from fastvideo_engine.run_folder import RunFolder
from fastvideo_engine.sampling.pipeline import Sampler, SamplingStopped
from fastvideo_engine.sampling.shots import Look, Shot, one_shot_a_prompt
from fastvideo_engine.specs.train import TrainSpec, Validation
from fastvideo_engine.specs.validation_file import ValidationRow, read_validation_file

_FPS_OF_WAN = 16.0  # where the Parquet does not say: FastVideo's names the source's rate, not that of the latents


def edited(validation: Validation, folder: RunFolder) -> Validation:
    """Put the file that someone wrote into the run folder, where there is one, in place of the prompts."""
    if not folder.edited_validation.exists():
        return validation
    return validation.model_copy(update={"file": str(folder.edited_validation), "prompts": [], "images": []})


def wanted_shots(
    clips: ParquetClips, spec: TrainSpec, validation: Validation, model: Path, family: Family
) -> list[Shot]:
    """Name the videos that are asked for while a spec trains; raise `SpecError` where the family cannot make them."""
    usual = _look_like_the_clips(clips, validation, model, family)
    if validation.file is None:
        problems = list(family.problems(usual.height, usual.width, usual.frames).values())
        if problems and validation.prompts:
            raise SpecError(f"The validation videos: {' '.join(problems)}")
        return one_shot_a_prompt(validation.prompts, validation.images, usual)
    begins_with_images = family.trained_for(spec.workload) == "i2v"
    shots = []
    for number, row in enumerate(read_validation_file(Path(validation.file)), start=1):
        # FastVideo's files also name the videos that captions were taken from, which text to video does without.
        look = replace(_look_of_row(row, usual), image=row.image if begins_with_images else None)
        problems = list(family.problems(look.height, look.width, look.frames).values())
        if begins_with_images and look.image is None:
            problems.append("it names no image_path or video_path to begin with, which image to video needs.")
        if problems:
            raise SpecError(f"Row {number} of {validation.file}: {' '.join(problems)}")
        shots.append(Shot(row.caption, look))
    return shots


def wanted_samples(validation: Validation, folder: RunFolder) -> int:
    """Count the videos that each validation makes now."""
    now = edited(validation, folder)
    try:
        return len(now.prompts) if now.file is None else len(read_validation_file(Path(now.file)))
    except SpecError:
        if now is validation:
            raise
        return len(validation.prompts)  # an edit that does not hold changes nothing


def _look_of_row(row: ValidationRow, usual: Look) -> Look:
    own: dict[str, Any] = {
        "sampling_steps": row.num_inference_steps,
        "height": row.height,
        "width": row.width,
        "frames": row.num_frames,
        "guidance_scale": row.guidance_scale,
    }
    return replace(usual, **{name: value for name, value in own.items() if value is not None})


def _look_like_the_clips(clips: ParquetClips, validation: Validation, model: Path, family: Family) -> Look:
    """Sample videos of the length, the rate and, unless another is asked for, the size that most clips have."""
    _, latent_frames, latent_height, latent_width = clips.latent_shape
    pixels = part_config(model, "vae").get("scale_factor_spatial", 8)
    return Look(
        seed=validation.seed,
        sampling_steps=validation.sampling_steps,
        guidance_scale=validation.guidance_scale,
        height=validation.height or latent_height * pixels,
        width=validation.width or latent_width * pixels,
        frames=(latent_frames - 1) * family.frame_stride + 1,
        fps=_FPS_OF_WAN if clips.provenance is None else clips.provenance.train_fps,
    )


def validate(sampler: Sampler, folder: RunFolder, step: int, ranks: Ranks, events: EventSink) -> bool:
    """Sample each prompt that has no video of this step yet, the processes side by side.

    Returns whether the stop wish cut it short; all processes return the same.
    """
    paths = [folder.sample(step, number) for number in range(len(sampler.shots))]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    ranks.barrier()  # before any process makes one of them
    if missing:
        events.write(Phase(title=f"Sampling the validation prompts at step {step}"))
    for together in _rounds(missing, sampler, ranks.readers):
        # Where prompts run out a process samples one in vain: with sharded weights all must take part in each.
        number = together[min(ranks.reader, len(together) - 1)]
        is_own = ranks.reader < len(together) and ranks.speaks_for_its_clip
        stopped = _sample(sampler, number, paths[number] if is_own else None, folder, ranks)
        ranks.barrier()
        for each in together:
            _report(sampler, each, paths[each], folder, step, events)
        if stopped or ranks.agree(folder.stop_was_asked()):
            return True
    return False


def _rounds(missing: Sequence[int], sampler: Sampler, at_once: int) -> Iterator[Sequence[int]]:
    """Put together the shots that pass through the transformer equally often."""
    alike: dict[tuple[int, bool], list[int]] = {}
    for number in missing:
        look = sampler.shots[number].look
        alike.setdefault((look.sampling_steps, look.guidance_scale > 1), []).append(number)
    for numbers in alike.values():
        yield from (numbers[start : start + at_once] for start in range(0, len(numbers), at_once))


def _sample(sampler: Sampler, number: int, path: Path | None, folder: RunFolder, ranks: Ranks) -> bool:
    """Sample a shot, into a file where one is given; return whether the processes agreed to stop meanwhile."""

    def stop_was_asked() -> bool:
        return ranks.agree(folder.stop_was_asked())

    try:
        if path is None:
            sampler.frames(number, stop_was_asked)
        else:
            sampler.write(number, path, stop_was_asked)
    except SamplingStopped:
        return True
    return False


def _report(sampler: Sampler, number: int, path: Path, folder: RunFolder, step: int, events: EventSink) -> None:
    if path.exists():
        facts = sampler.facts(number)
        events.write(ArtifactMade(kind="sample", path=folder.relative(path), step=step, facts=facts))
