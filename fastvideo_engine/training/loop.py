"""Train as a spec asks, in a run folder, from its newest checkpoint on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, nn

from fastvideo_engine.adapters.adapter import Adapter
from fastvideo_engine.adapters.applied import start_from
from fastvideo_engine.components import (
    latent_mean_std,
    load_scheduler,
    model_folder,
    padded,
    part_config,
)
from fastvideo_engine.data.captions import EMPTY, read_empty_prompt
from fastvideo_engine.data.loader import first_frame_tensors, open_parquet
from fastvideo_engine.data.recent import RecentClips
from fastvideo_engine.distributed import Ranks, join_processes
from fastvideo_engine.errors import EngineError
from fastvideo_engine.events import Finished, Note, Phase, Progress, SilentWriter, Stopped
from fastvideo_engine.families import Family, family_of_folder
from fastvideo_engine.memory import full_memory_in_words
from fastvideo_engine.reporting import Reporter
from fastvideo_engine.run_folder import RunFolder
from fastvideo_engine.sampling.pipeline import Sampler, new_pipeline
from fastvideo_engine.sampling.shots import EncodedShot, encode_prompts, encode_shots
from fastvideo_engine.specs.train import Lora, TrainSpec
from fastvideo_engine.training.average import MovingAverage
from fastvideo_engine.training.batches import Batches
from fastvideo_engine.training.checkpoint import final_loss, resume, save
from fastvideo_engine.training.fit import check_clips_fit, check_workload
from fastvideo_engine.training.flow_matching import sigma_table, sigmas_by_expert
from fastvideo_engine.training.lora import read_starts
from fastvideo_engine.training.optimizer import new_adamw
from fastvideo_engine.training.pace import Pace
from fastvideo_engine.training.step import Learnt, learn
from fastvideo_engine.training.trained import Trained, trained_weights
from fastvideo_engine.training.tuning import load_as_trained, load_to_train
from fastvideo_engine.training.validation import validate, wanted_samples, wanted_shots


@dataclass(frozen=True)
class _Run:
    """What is asked, where, by whom it is done and to whom it is told."""

    spec: TrainSpec
    folder: RunFolder
    ranks: Ranks
    events: Reporter | SilentWriter


def run(spec: TrainSpec, folder: RunFolder) -> None:
    """Train until the last step or until asked to stop; a run that has its last checkpoint only says so again."""
    ranks = join_processes()
    events = Reporter(folder) if ranks.is_first else SilentWriter()
    try:
        with full_memory_in_words("lower the batch size, or preprocess with fewer frames or a smaller size"):
            _train(_Run(spec, folder, ranks, events))
    finally:
        ranks.leave()


def _train(run: _Run) -> None:
    spec, folder, ranks, events = run.spec, run.folder, run.ranks, run.events
    if _is_over(spec, folder):
        events.write(_finished(folder))
        return
    trained, batches, sampler = _loaded(run)
    done = resume(folder, trained, spec)
    if done:
        events.write(Note(text=f"Continued from step {done}"))
        events.write(Progress(done=done, total=spec.steps))
    if _sample_if_due(run, trained, sampler, done):
        events.write(Stopped(text=f"Stopped at step {done}."))
        return
    events.write(Phase(title="Training"))
    pace, skipped = Pace(), 0
    upcoming = batches.from_step(done + 1)
    for step in range(done + 1, spec.steps + 1):
        began = perf_counter()
        learnt = learn(trained, islice(upcoming, spec.gradient_accumulation), step, spec, ranks)
        pace.steps.append(perf_counter() - began)
        metrics = _metrics(learnt, pace.steps[-1])
        left = pace.seconds_left(step, spec)
        events.write(Progress(done=step, total=spec.steps, seconds_left=left, metrics=metrics))
        skipped = 0 if learnt.moved_the_weights else skipped + 1
        if skipped:
            events.write(Note(text=f"Step {step} was skipped: its loss or gradient is not a finite number."))
        if skipped == spec.optimizer.max_skipped_steps:
            _give_up(run, trained, step, skipped)
        if spec.saving.is_due(step, spec.steps):
            _save(run, trained, step, learnt.loss)
        began = perf_counter()
        # Saved first: sampling takes long, and what was learnt should not hang on it.
        stopping = ranks.agree(folder.stop_was_asked()) or _sample_if_due(run, trained, sampler, step)
        if spec.validation.is_due(step, spec.steps):
            pace.validation = perf_counter() - began
        if stopping:
            if not spec.saving.is_due(step, spec.steps):
                _save(run, trained, step, learnt.loss)
            events.write(Stopped(text=f"Stopped at step {step}; the checkpoint is kept."))
            return
        if spec.validation.is_due(step, spec.steps) and step < spec.steps:
            events.write(Phase(title="Training"))
    ranks.barrier()
    events.write(_finished(folder))


def _loaded(run: _Run) -> tuple[Trained, Batches, Sampler | None]:
    spec, device, events = run.spec, run.ranks.device, run.events
    events.write(Phase(title="Checking the model and the clips"))
    model = model_folder(spec.model)
    family = family_of_folder(model)
    clips = open_parquet(Path(spec.parquet), first_frame_tensors(family))
    check_workload(spec, family, clips)
    check_clips_fit(clips, family, model, spec.model)
    shots: list[EncodedShot] = []
    if spec.validation.is_asked_for:
        wanted = wanted_shots(clips, spec, model, family)
        events.write(Phase(title="Encoding the validation prompts"))
        shots = encode_shots(wanted, spec.validation.negative_prompt, model, family, device)
    empty = _empty_caption(spec, model, family, device) if spec.flow.caption_dropout else None
    parts = family.trained_transformers(spec.experts)
    starts = _starts(run, model, family, parts)
    events.write(Phase(title="Loading the model"))
    transformers = nn.ModuleDict({part: load_to_train(model, part, family, spec, device) for part in parts})
    for part, adapter in starts.items():
        start_from(transformers[part], adapter)
    weights = trained_weights(transformers)
    trained = Trained(family, transformers, new_adamw(weights.values(), spec.optimizer), _average(weights, spec))
    shift = spec.flow.shift or load_scheduler(model, None).config.get("flow_shift", family.flow_shift)
    batches = Batches(
        clips=RecentClips(clips),
        family=family,
        mean_std=latent_mean_std(part_config(model, "vae")),
        sigmas={part: levels for part, levels in sigmas_by_expert(sigma_table(shift), family).items() if part in parts},
        empty_caption=empty,
        spec=spec,
        ranks=run.ranks,
    )
    if not shots:
        return trained, batches, None
    others = {part: load_as_trained(model, part, spec, device) for part in family.transformers if part not in parts}
    pipeline = new_pipeline(model, family, {**transformers, **others}, None, shots[0].image is not None)
    return trained, batches, Sampler(pipeline, shots)


def _starts(run: _Run, model: Path, family: Family, parts: Sequence[str]) -> dict[str, Adapter]:
    """Read the adapters to begin with, if any are asked for; a run that goes on has its own."""
    if not isinstance(run.spec.tuning, Lora) or run.folder.newest_checkpoint() is not None:
        return {}
    starts = read_starts(run.spec.tuning, model, family, parts)
    for start in starts.values():
        for notice in (f"The adapter to start from changes {start.count} weights.", *start.notices):
            run.events.write(Note(text=notice))
    return starts


def _average(weights: Mapping[str, Tensor], spec: TrainSpec) -> MovingAverage | None:
    if spec.ema_decay is None:
        return None
    return MovingAverage({name: weight.detach().clone() for name, weight in weights.items()}, spec.ema_decay)


def _empty_caption(spec: TrainSpec, model: Path, family: Family, device: torch.device) -> Tensor:
    """Return the padded embedding LD of the empty caption; FastVideo's preprocessing stores none, so it is made."""
    stored = read_empty_prompt(Path(spec.parquet))
    if stored is None:
        return encode_prompts([EMPTY], model, family, device)[0].squeeze(0)
    return padded(stored, family.text_length)


def _metrics(learnt: Learnt, seconds: float) -> dict[str, float]:
    found = {**asdict(learnt), "seconds_per_step": seconds}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _sample_if_due(run: _Run, trained: Trained, sampler: Sampler | None, step: int) -> bool:
    """Sample the validation prompts where this step asks for it; return whether that was cut short by the stop wish."""
    if sampler is None or not run.spec.validation.is_due(step, run.spec.steps):
        return False
    with trained.shown():
        return validate(sampler, run.folder, step, run.ranks, run.events)


def _save(run: _Run, trained: Trained, step: int, loss: float) -> None:
    if run.ranks.is_first:
        for made in save(run.folder, step, loss, trained, run.spec):
            run.events.write(made)


def _give_up(run: _Run, trained: Trained, step: int, skipped: int) -> None:
    _save(run, trained, step, math.nan)
    run.ranks.barrier()  # a process that leaves with an error takes the others with it, and one of them is writing
    raise EngineError(
        f"Loss or gradient were not finite numbers in {skipped} steps up to step {step}, whose checkpoint is kept; "
        f"lower the learning rate, which is {run.spec.optimizer.learning_rate:g}, and start again."
    )


def _is_over(spec: TrainSpec, folder: RunFolder) -> bool:
    newest = folder.newest_checkpoint()
    if newest is None or newest.step < spec.steps:
        return False
    return all(folder.sample(spec.steps, number).exists() for number in range(wanted_samples(spec.validation)))


def _finished(folder: RunFolder) -> Finished:
    newest = folder.newest_checkpoint()
    assert newest is not None, "the last step is always saved"
    return Finished(text=f"{newest.step} steps are done; final loss {final_loss(newest):.2g}.")
