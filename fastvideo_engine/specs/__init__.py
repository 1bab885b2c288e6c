"""What can be asked of the engine: one frozen pydantic model a kind of job."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from fastvideo_engine.errors import SpecError
from fastvideo_engine.specs.base import Part, Spec, in_words, read_settings
from fastvideo_engine.specs.generate import GenerateSpec
from fastvideo_engine.specs.imports import ImportSpec
from fastvideo_engine.specs.parquet import ParquetFolder
from fastvideo_engine.specs.preprocess import HuggingFaceSource, Manifest, MergedFolder, PreprocessSpec
from fastvideo_engine.specs.scale import Scale
from fastvideo_engine.specs.train import (
    Dense,
    Flow,
    Full,
    Lora,
    Optimizer,
    Saving,
    Tracking,
    TrainSpec,
    Validation,
    Vsa,
)

JobSpec = ImportSpec | PreprocessSpec | TrainSpec | GenerateSpec
_ANY_SPEC: TypeAdapter[JobSpec] = TypeAdapter(Annotated[JobSpec, Field(discriminator="kind")])

__all__ = [
    "Dense",
    "Flow",
    "Full",
    "GenerateSpec",
    "HuggingFaceSource",
    "ImportSpec",
    "JobSpec",
    "Lora",
    "Manifest",
    "MergedFolder",
    "Optimizer",
    "ParquetFolder",
    "Part",
    "PreprocessSpec",
    "Saving",
    "Scale",
    "Spec",
    "Tracking",
    "TrainSpec",
    "Validation",
    "Vsa",
    "read_spec",
    "spec_from",
]


def spec_from(settings: dict[str, Any]) -> JobSpec:
    """Make a spec of the kind that the settings name; raise `SpecError` saying each wrong field."""
    try:
        return _ANY_SPEC.validate_python(settings)
    except ValidationError as error:
        kind = settings.get("kind", "?")
        raise SpecError(f"The {kind} spec does not hold: {in_words(error).replace(f'{kind}.', '')}.") from None


def read_spec(path: Path) -> JobSpec:
    """Read a spec file as it stands, relative folders and all."""
    return spec_from(read_settings(path))
