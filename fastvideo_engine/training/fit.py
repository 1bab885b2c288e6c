"""Whether Parquet and a model go together, told before any weights are loaded."""

from dataclasses import dataclass
from pathlib import Path

from fastvideo_engine.components import model_folder, part_config, vae_fingerprint
from fastvideo_engine.data.loader import ParquetClips, first_frame_tensors, open_mixture
from fastvideo_engine.errors import DataError, SpecError
from fastvideo_engine.families import Family, family_of_folder
from fastvideo_engine.specs.train import TrainSpec


@dataclass(frozen=True)
class Material:
    """What a run trains and what it trains on: the model's folder, its family and the clips."""

    model: Path
    family: Family
    clips: ParquetClips


def checked_material(spec: TrainSpec) -> Material:
    """Open a spec's model and clips; raise an error unless they go together.

    No weights are loaded. Of a model that is elsewhere only the settings are fetched, and its VAE where the clips say
    with which one they were made.
    """
    model = model_folder(spec.model, weights=())
    family = family_of_folder(model)
    clips = open_mixture(spec.parquet, first_frame_tensors(family), spec.latent_frames)
    check_workload(spec, family, clips)
    if clips.provenance is not None:
        model = model_folder(spec.model, weights=("vae",))
    check_clips_fit(clips, family, model, spec.model)
    return Material(model, family, clips)


def check_workload(spec: TrainSpec, family: Family, clips: ParquetClips) -> None:
    """Raise an error unless a model of this family can be trained for the spec's workload on these clips."""
    workload = family.trained_for(spec.workload)
    problem = family.training_problem(workload, spec.experts)
    if problem is not None:
        raise SpecError(problem)
    if workload == "i2v" and family.keeps_first_frame and any(shape[1] == 1 for shape in clips.by_shape):
        raise DataError(
            f"There are clips of one frame, which image to video gives to {family.title}: nothing is left to learn; "
            f"preprocess with at least {family.frame_stride + 1} frames, or train for t2v."
        )


def check_clips_fit(clips: ParquetClips, family: Family, model: Path, name: str) -> None:
    """Raise `DataError` unless the clips were encoded as this model needs them."""
    cure = f"train with the model that they were preprocessed with, or preprocess the clips again with {name}"
    made_with = clips.provenance
    if made_with is not None and made_with.vae_fingerprint != vae_fingerprint(model):
        raise DataError(
            f"This Parquet was made with another model ({made_with.model}); "
            f"train with that model or preprocess the clips again with {name}."
        )
    transformer = part_config(model, "transformer")
    channels = clips.latent_shape[0]
    given = channels + (family.frame_stride + channels if family.reads_first_frame_latent else 0)
    if given != transformer["in_channels"]:
        raise DataError(
            f"The clips give {given} channels ({channels} of them the latent's), "
            f"{name} takes {transformer['in_channels']}; {cure}."
        )
    seen = clips.clip_feature_shape
    if seen is not None and seen[-1] != transformer["image_dim"]:
        raise DataError(
            f"The clips' CLIP features are {seen[-1]} wide, {name} takes {transformer['image_dim']}; {cure}."
        )
    if clips.text_width != transformer["text_dim"]:
        raise DataError(
            f"The clips' text embeddings are {clips.text_width} wide, {name} takes {transformer['text_dim']}; {cure}."
        )
    patch = transformer["patch_size"]
    for _, *sizes in clips.by_shape:
        if any(size % part for size, part in zip(sizes, patch, strict=True)):
            found, needed = ("x".join(map(str, each)) for each in (sizes, patch))
            raise DataError(
                f"Latents of {found} (frames, height, width) do not divide into the model's patches of {needed}; "
                "preprocess the clips to a size that the model takes."
            )
