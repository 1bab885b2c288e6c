"""Train as a spec asks, in a run folder, from its newest checkpoint on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from fastvideo_engine.adapters.adapter import Adapter
from fastvideo_engine.attention.wan import set_sparsity, sparsity_of, way_of
from fastvideo_engine.components import (
    latent_mean_std,
    load_scheduler,
    model_folder,
    padded,
    part_config,
)
from fastvideo_engine.data.captions import EMPTY, read_empty_prompt
from fastvideo_engine.data.loader import first_frame_tensors, held_out_beside, open_mixture
from fastvideo_engine.data.mixing import Mixture
from fastvideo_engine.data.recent import RecentClips
from fastvideo_engine.distributed import Ranks, join_processes
from fastvideo_engine.errors import EngineError
from fastvideo_engine.events import EventSink, Finished, Note, Phase, Progress, Stopped
from fastvideo_engine.families import Family
from fastvideo_engine.memory import full_memory_in_words
from fastvideo_engine.run_folder import RunFolder, Wish
from fastvideo_engine.sampling.shots import encode_prompts
from fastvideo_engine.specs.parquet import ParquetFolder
from fastvideo_engine.specs.train import Lora, TrainSpec
from fastvideo_engine.training.average import MovingAverage
from fastvideo_engine.training.batches import Batches
from fastvideo_engine.training.checkpoint import final_loss, resume, save
from fastvideo_engine.training.fit import check_clips_fit, checked_material
from fastvideo_engine.training.flow_matching import sigma_table, sigmas_by_expert
from fastvideo_engine.training.held_out import HeldOut
from fastvideo_engine.training.kernels import attending_by, kernel_in_use
from fastvideo_engine.training.lora import read_starts
from fastvideo_engine.training.optimizer import check_optimizer, new_adamw
from fastvideo_engine.training.pace import Pace
from fastvideo_engine.training.sharding import check_scale
from fastvideo_engine.training.step import Learnt, learn
from fastvideo_engine.training.tracking import reported
from fastvideo_engine.training.trained import Trained, trained_weights
from fastvideo_engine.training.tuning import computed_in, load_to_train
from fastvideo_engine.training.validation import validate, wanted_samples
from fastvideo_engine.training.videos import Videos


@dataclass(frozen=True)
class _Run:
    """What is asked, where, by whom it is done and to whom it is told."""

    spec: TrainSpec
    folder: RunFolder
    ranks: Ranks
    events: EventSink


@dataclass(frozen=True)
class _Judged:
    """By what a run is judged: videos that it samples, and its loss on clips that it never sees."""

    videos: Videos
    held_out: HeldOut | None


def run(spec: TrainSpec, folder: RunFolder) -> None:
    """Train until the last step or until asked to stop; a run that has its last checkpoint only says so again."""
    ranks = replace(join_processes(), sharing=spec.scale.sp_size)
    try:
        with (
            attending_by(spec.scale.sdpa),
            full_memory_in_words("lower the batch size, or preprocess with fewer frames or a smaller size"),
            reported(spec, folder, ranks) as events,
        ):
            _train(_Run(spec, folder, ranks, events))
    finally:
        ranks.leave()


def _train(run: _Run) -> None:
    spec, folder, ranks, events = run.spec, run.folder, run.ranks, run.events
    if _is_over(spec, folder):
        events.write(_finished(folder))
        return
    trained, batches, judged = _loaded(run)
    done = resume(folder, trained, spec)
    if done:
        events.write(Note(text=f"Continued from step {done}"))
        events.write(Progress(done=done, total=spec.steps))
    set_sparsity(trained.transformers, spec.attention.sparsity_at(done))
    if spec.validation.is_due(done, spec.steps) and _judge(run, trained, judged, done, None):
        events.write(Stopped(text=f"Stopped at step {done}."))
        return
    events.write(Phase(title="Training"))
    pace, skipped = Pace(), 0
    upcoming = batches.from_step(done + 1)
    for step in range(done + 1, spec.steps + 1):
        began = perf_counter()
        set_sparsity(trained.transformers, spec.attention.sparsity_at(step))
        learnt = learn(trained, islice(upcoming, spec.gradient_accumulation), step, spec, ranks)
        pace.steps.append(perf_counter() - began)
        metrics = _metrics(learnt, pace.steps[-1], trained)
        left = pace.seconds_left(step, spec)
        events.write(Progress(done=step, total=spec.steps, seconds_left=left, metrics=metrics))
        skipped = 0 if learnt.moved_the_weights else skipped + 1
        if skipped:
            events.write(Note(text=f"Step {step} was skipped: its loss or gradient is not a finite number."))
        if skipped == spec.optimizer.max_skipped_steps:
            _give_up(run, trained, step, skipped)
        # Saved first: sampling takes long, and what was learnt should not hang on it.
        saves = spec.saving.is_due(step, spec.steps) or _is_wanted_now(run, "save")
        if saves:
            _save(run, trained, step, learnt.loss)
        stops = ranks.agree(folder.stop_was_asked())
        judges = not stops and (spec.validation.is_due(step, spec.steps) or _is_wanted_now(run, "sample"))
        if judges:
            began = perf_counter()
            stops = _judge(run, trained, judged, step, left)
            pace.validation = perf_counter() - began
        if stops:
            if not saves:
                _save(run, trained, step, learnt.loss)
            events.write(Stopped(text=f"Stopped at step {step}; the checkpoint is kept."))
            return
        if judges and step < spec.steps:
            events.write(Phase(title="Training"))
    events.write(_finished(folder))


def _loaded(run: _Run) -> tuple[Trained, Batches, _Judged]:
    spec, device, events = run.spec, run.ranks.device, run.events
    events.write(Phase(title="Checking the model and the clips"))
    material = checked_material(spec)
    family, clips = material.family, material.clips
    _check_scale(run, part_config(material.model, "transformer"))
    model = model_folder(spec.model)  # with all weights, now that nothing speaks against them
    videos = Videos(spec, run.folder, clips, model, family, run.ranks, events)
    videos.look_again()  # the text encoder goes from memory before the transformer comes
    empty = _empty_caption(spec, model, family, device) if spec.flow.caption_dropout else None
    parts = family.trained_transformers(spec.experts)
    starts = _starts(run, model, family, parts)
    events.write(Phase(title="Loading the model"))
    transformers = nn.ModuleDict(
        {part: load_to_train(model, part, family, spec, run.ranks, starts.get(part)) for part in parts}
    )
    if (way := way_of(transformers)) is not None:
        events.write(Note(text=way.note))
    weights = trained_weights(transformers)
    trained = Trained(family, transformers, new_adamw(weights.values(), spec.optimizer), _average(weights, spec))
    shift = spec.flow.shift or load_scheduler(model, None).config.get("flow_shift", family.flow_shift)
    batches = Batches(
        clips=RecentClips(clips),
        order=Mixture(tuple(clips.by_shape.values()), spec.seed),
        family=family,
        mean_std=latent_mean_std(part_config(model, "vae")),
        sigmas={part: levels for part, levels in sigmas_by_expert(sigma_table(shift), family).items() if part in parts},
        empty_caption=empty,
        spec=spec,
        ranks=run.ranks,
    )
    return trained, batches, _Judged(videos, _held_out(batches, model))


def _check_scale(run: _Run, transformer: Mapping[str, Any]) -> None:
    """Raise an error where this machine or these processes cannot do what is asked, before anything is loaded."""
    spec, ranks = run.spec, run.ranks
    check_scale(spec.scale, ranks.world_size, transformer["num_attention_heads"])
    check_optimizer(spec.optimizer)
    dtype = computed_in(spec, ranks.device)
    kernel = kernel_in_use(spec.scale.sdpa, ranks.device, dtype, transformer["attention_head_dim"])
    if ranks.device.type == "cuda" or spec.scale.sdpa != "auto":
        run.events.write(Note(text=f"Dense attention runs on PyTorch's {kernel} kernel."))


def _held_out(batches: Batches, model: Path) -> HeldOut | None:
    spec, family = batches.spec, batches.family
    folders = [
        ParquetFolder(path=str(held_out)) for each in spec.parquet if (held_out := held_out_beside(Path(each.path)))
    ]
    if not folders or not spec.validation.held_out_clips:
        return None
    clips = open_mixture(folders, first_frame_tensors(family), spec.latent_frames)
    check_clips_fit(clips, family, model, spec.model)
    looked_at = [[clip for clip in some if clip < spec.validation.held_out_clips] for some in clips.by_shape.values()]
    return HeldOut(replace(batches, clips=RecentClips(clips)), looked_at)


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
    found = (read_empty_prompt(Path(folder.path)) for folder in spec.parquet)
    stored = next((embedding for embedding in found if embedding is not None), None)
    if stored is None:
        return encode_prompts([EMPTY], model, family, device)[0].squeeze(0)
    return padded(stored, family.text_length)


def _metrics(learnt: Learnt, seconds: float, trained: Trained) -> dict[str, float]:
    sparsity = sparsity_of(trained.transformers)
    found = {**asdict(learnt), "seconds_per_step": seconds, **({} if sparsity is None else {"sparsity": sparsity})}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _judge(run: _Run, trained: Trained, judged: _Judged, step: int, seconds_left: float | None) -> bool:
    """Tell the loss on held-out clips and sample what is wanted; return whether the stop wish cut it short."""
    with trained.shown():
        if judged.held_out is not None:
            run.events.write(Phase(title=f"Computing the validation loss at step {step}"))
            metrics = {"validation_loss": judged.held_out.loss(trained.transformers)}
            run.events.write(Progress(done=step, total=run.spec.steps, seconds_left=seconds_left, metrics=metrics))
        sampler = judged.videos.sampler(trained.transformers)
        return sampler is not None and validate(sampler, run.folder, step, run.ranks, run.events)


def _is_wanted_now(run: _Run, wish: Wish) -> bool:
    wanted = run.ranks.agree(run.folder.is_asked_for(wish))
    if wanted:
        run.folder.grant(wish)
    return wanted


def _save(run: _Run, trained: Trained, step: int, loss: float) -> None:
    for made in save(run.folder, step, loss, trained, run.spec, run.ranks):
        run.events.write(made)


def _give_up(run: _Run, trained: Trained, step: int, skipped: int) -> None:
    _save(run, trained, step, math.nan)
    raise EngineError(
        f"Loss or gradient were not finite numbers in {skipped} steps up to step {step}, whose checkpoint is kept; "
        f"lower the learning rate, which is {run.spec.optimizer.learning_rate:g}, and start again."
    )


def _is_over(spec: TrainSpec, folder: RunFolder) -> bool:
    newest = folder.newest_checkpoint()
    if newest is None or newest.step < spec.steps:
        return False
    return all(folder.sample(spec.steps, number).exists() for number in range(wanted_samples(spec.validation, folder)))


def _finished(folder: RunFolder) -> Finished:
    newest = folder.newest_checkpoint()
    assert newest is not None, "the last step is always saved"
    return Finished(text=f"{newest.step} steps are done; final loss {final_loss(newest):.2g}.")
