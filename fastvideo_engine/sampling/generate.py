"""Sample the prompts of a spec with each seed, from a base or finetuned model, an adapter at each strength on it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import WanTransformer3DModel

from fastvideo_engine.adapters.applied import Applied, load_adapter
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
from fastvideo_engine.sampling.attention import SparseAttention, attend_as_trained
from fastvideo_engine.sampling.finetuned import weights_folders
from fastvideo_engine.sampling.pipeline import Sampler, SamplingStopped, new_pipeline
from fastvideo_engine.sampling.shots import Look, encode_shots, one_shot_a_prompt
from fastvideo_engine.specs.generate import GenerateSpec


@dataclass(frozen=True)
class _Prepared:
    """What samples the prompts, and all of it that the strength of an adapter changes."""

    sampler: Sampler
    adapted: Sequence[Applied | SparseAttention]


def run(spec: GenerateSpec, folder: RunFolder) -> None:
    """Sample each prompt with each seed at each strength into the run folder; videos that are there are kept."""
    events = Reporter(folder)
    with full_memory_in_words("ask for fewer frames or a smaller size"):
        _generate(spec, folder, events)


def _generate(spec: GenerateSpec, folder: RunFolder, events: Reporter) -> None:
    prepared = _prepared(spec, events)
    events.write(Phase(title="Sampling"))
    total = len(spec.strengths) * len(spec.seeds) * len(spec.prompts)
    for done, (sampler, number, path) in enumerate(_videos(spec, folder, prepared)):
        if not path.exists():
            try:
                sampler.write(number, path, folder.stop_was_asked)
            except SamplingStopped:
                events.write(Stopped(text=f"Stopped after {done} of {total} videos, which are kept."))
                return
            facts = sampler.facts(number)
            events.write(ArtifactMade(kind="sample", path=folder.relative(path), step=0, facts=facts))
        events.write(Progress(done=done + 1, total=total))
    events.write(Finished(text="All videos are done."))


def _videos(spec: GenerateSpec, folder: RunFolder, prepared: _Prepared) -> Iterator[tuple[Sampler, int, Path]]:
    """Go through the videos: what samples each, the number of its prompt, and its file; set the strength meanwhile."""
    for strength in spec.strengths:
        for adapted in prepared.adapted:
            adapted.set_strength(strength)
        weighed = replace(prepared.sampler, weights=_weights(spec, strength))
        for seed in spec.seeds:
            sampler = weighed.with_seed(seed)
            of_seed = seed if len(spec.seeds) > 1 else None
            of_strength = strength if len(spec.strengths) > 1 else None
            for number in range(len(spec.prompts)):
                yield sampler, number, folder.sample(0, number, of_seed, of_strength)


def _prepared(spec: GenerateSpec, events: Reporter) -> _Prepared:
    events.write(Phase(title="Finding the model"))
    device = join_processes().device
    model = model_folder(spec.model)
    family = family_of_folder(model)
    problems = family.problems(spec.height, spec.width, spec.frames)
    if problems:
        raise SpecError(" ".join(problems.values()))
    folders = weights_folders(model, family.transformers, None if spec.transformer is None else Path(spec.transformer))
    events.write(Phase(title="Encoding the prompts"))
    look = Look(
        seed=spec.seeds[0],
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
    transformers, adapted = _transformers(spec, folders, device, events)
    pipeline = new_pipeline(model, family, transformers, spec.flow_shift, bool(spec.images), device)
    return _Prepared(Sampler(pipeline, shots), adapted)


def _transformers(
    spec: GenerateSpec, folders: Mapping[str, Path], device: torch.device, events: Reporter
) -> tuple[dict[str, WanTransformer3DModel], Sequence[Applied | SparseAttention]]:
    """Load each transformer from its folder with the adapter on it; return them and what follows the strength."""
    transformers = {part: load_transformer(folder.parent, device, part=folder.name) for part, folder in folders.items()}
    if spec.transformer is not None:
        for part, folder in folders.items():
            events.write(Note(text=f"The {part} is that in {folder}."))
    if device.type == "cpu":
        for transformer in transformers.values():
            attend_to_padding_once(transformer)
    files = {} if spec.adapter is None else adapter_files(Path(spec.adapter), tuple(folders))
    attending = [attend_as_trained(transformers[part], folders[part], files.get(part), spec) for part in folders]
    sparse = [attention for attention in attending if attention is not None]
    for way in {attention.way for attention in sparse}:
        events.write(Note(text=way.note))
    if spec.sparsity is not None and not sparse:
        raise SpecError("These weights were trained with dense attention; leave the sparsity empty.")
    applied = {part: load_adapter(transformers[part], file, spec.strengths[0]) for part, file in files.items()}
    for part, file in files.items():
        adapter = applied[part].adapter
        for notice in (f"{file.name} changes {adapter.count} weights of the {part}.", *adapter.notices):
            events.write(Note(text=notice))
    return transformers, [*sparse, *applied.values()]


def _weights(spec: GenerateSpec, strength: float) -> dict[str, Any]:
    finetuned = {} if spec.transformer is None else {"transformer": spec.transformer}
    return finetuned if spec.adapter is None else {**finetuned, "adapter": spec.adapter, "strength": strength}
