"""Whether what a preprocessing spec asks for and what its model takes go together."""

from pathlib import Path

from fastvideo_engine.components import ENCODERS, model_folder
from fastvideo_engine.errors import SpecError
from fastvideo_engine.families import Family, family_of_folder
from fastvideo_engine.specs.preprocess import PreprocessSpec


def refuse_impossible(spec: PreprocessSpec, family: Family, is_read: bool) -> None:
    """Raise `SpecError` for what a family cannot take; of a model not read yet only its size can be told."""
    problems = list(family.problems(spec.height, spec.width, spec.frames).values())
    unfit = family.workload_problem(spec.workload) if is_read else None
    if unfit:
        problems.append(unfit)
    if spec.output.buckets and spec.parity == "fastvideo":
        problems.append("FastVideo has no buckets; switch output.buckets off, or set parity to none.")
    if problems:
        raise SpecError(" ".join(problems))


def model_of(spec: PreprocessSpec) -> Path:
    """Find or fetch the model, whose family is known for certain only now."""
    folder = model_folder(spec.model, ENCODERS)
    refuse_impossible(spec, family_of_folder(folder), is_read=True)
    return folder
