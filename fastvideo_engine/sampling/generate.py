"""Sample the prompts of a spec, from a base model or with an adapter on it."""

from pathlib import Path
from typing import Any

from fastvideo_engine.adapters.applied import load_adapter
from fastvideo_engine.adapters.files import adapter_files
from fastvideo_engine.attention.padding import attend_to_padding_once
from fastvideo_engine.components import load_transformer, model_folder
from fastvideo_engine.distributed import join_processes
from fastvideo_engine.errors import SpecError
from fastvideo_engine.events import ArtifactMade, Finished, Note, Phase, Progress, Stopped
from fastvideo_engine.families import family_of_folder
from fastvideo_engine.memory import full_memory_in_words
from fastvideo_engine.reporting import Reporter
from fastvideo_engine.run_folder import RunFolder
from fastvideo_engine.sampling.attention import attend_as_trained
from fastvideo_engine.sampling.pipeline import Sampler, SamplingStopped, new_pipeline
from fastvideo_engine.sampling.shots import Look, encode_shots, one_shot_a_prompt
from fastvideo_engine.specs.generate import GenerateSpec


def run(spec: GenerateSpec, folder: RunFolder) -> None:
    """Sample each prompt into the run folder; videos that are already there are kept."""
    events = Reporter(folder)
    with full_memory_in_words("ask for fewer frames or a smaller size"):
        _generate(spec, folder, events)


def _generate(spec: GenerateSpec, folder: RunFolder, events: Reporter) -> None:
    sampler = _prepared(spec, events)
    events.write(Phase(title="Sampling"))
    for number in range(len(spec.prompts)):
        path = folder.sample(0, number)
        if not path.exists():
            try:
                sampler.write(number, path, folder.stop_was_asked)
            except SamplingStopped:
                events.write(Stopped(text=f"Stopped after {number} of {len(spec.prompts)} videos, which are kept."))
                return
            facts = sampler.facts(number) | _weights(spec)
            events.write(ArtifactMade(kind="sample", path=folder.relative(path), step=0, facts=facts))
        events.write(Progress(done=number + 1, total=len(spec.prompts)))
    events.write(Finished(text="All videos are done."))


def _prepared(spec: GenerateSpec, events: Reporter) -> Sampler:
    events.write(Phase(title="Finding the model"))
    device = join_processes().device
    model = model_folder(spec.model)
    family = family_of_folder(model)
    problems = family.problems(spec.height, spec.width, spec.frames)
    if problems:
        raise SpecError(" ".join(problems.values()))
    events.write(Phase(title="Encoding the prompts"))
    look = Look(
        seed=spec.seed,
        sampling_steps=spec.sampling_steps,
        guidance_scale=spec.guidance_scale,
        height=spec.height,
        width=spec.width,
        frames=spec.frames,
        fps=spec.fps,
    )
    wanted = one_shot_a_prompt(spec.prompts, spec.images, look)
    shots = encode_shots(wanted, spec.negative_prompt, model, family, device)
    events.write(Phase(title="Loading the model"))
    transformers = {part: load_transformer(model, device, part=part) for part in family.transformers}
    if device.type == "cpu":
        for transformer in transformers.values():
            attend_to_padding_once(transformer)
    files = {} if spec.adapter is None else adapter_files(Path(spec.adapter), family.transformers)
    ways = [attend_as_trained(transformers[part], model / part, files.get(part), spec) for part in transformers]
    for way in {way for way in ways if way is not None}:
        events.write(Note(text=way.note))
    if spec.sparsity is not None and not any(ways):
        raise SpecError("These weights were trained with dense attention; leave the sparsity empty.")
    for part, file in files.items():
        applied = load_adapter(transformers[part], file, spec.strength)
        for notice in (f"{file.name} changes {applied.adapter.count} weights of the {part}.", *applied.adapter.notices):
            events.write(Note(text=notice))
    return Sampler(new_pipeline(model, family, transformers, spec.flow_shift, bool(spec.images), device), shots)


def _weights(spec: GenerateSpec) -> dict[str, Any]:
    return {} if spec.adapter is None else {"adapter": spec.adapter, "strength": spec.strength}
