"""Train as a spec asks, in a run folder, from its newest checkpoint on."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

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
from fastvideo_engine.specs.train import TrainSpec
from fastvideo_engine.training.batches import Batches
from fastvideo_engine.training.checkpoint import Trained, final_loss, resume, save
from fastvideo_engine.training.fit import check_clips_fit, check_model_fits, check_workload
from fastvideo_engine.training.flow_matching import Batch, flow_matching_loss, sigma_table
from fastvideo_engine.training.optimizer import learning_rate_at, new_adamw, take_step
from fastvideo_engine.training.pace import Pace
from fastvideo_engine.training.tuning import load_to_train, trained_weights
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
    if _sample_if_due(run, sampler, done):
        events.write(Stopped(text=f"Stopped at step {done}."))
        return
    events.write(Phase(title="Training"))
    pace = Pace()
    upcoming = batches.from_step(done + 1)
    for step in range(done + 1, spec.steps + 1):
        began = perf_counter()
        loss = _learn(trained, islice(upcoming, spec.gradient_accumulation), spec.gradient_accumulation)
        mean_loss = ranks.average(loss).item()
        _check_finite(mean_loss, "loss", run, step)
        learning_rate = learning_rate_at(step, spec.optimizer, spec.steps)
        gradient_norm = take_step(trained.adamw, learning_rate, spec.optimizer.max_gradient_norm, ranks)
        _check_finite(gradient_norm, "gradient", run, step)
        pace.steps.append(perf_counter() - began)
        metrics = {
            "loss": mean_loss,
            "gradient_norm": gradient_norm,
            "learning_rate": learning_rate,
            "seconds_per_step": pace.steps[-1],
        }
        left = pace.seconds_left(step, spec)
        events.write(Progress(done=step, total=spec.steps, seconds_left=left, metrics=metrics))
        if spec.saving.is_due(step, spec.steps):
            _save(run, trained, step, mean_loss)
        began = perf_counter()
        # Saved first: sampling takes long, and what was learnt should not hang on it.
        stopping = ranks.agree(folder.stop_was_asked()) or _sample_if_due(run, sampler, step)
        if spec.validation.is_due(step, spec.steps):
            pace.validation = perf_counter() - began
        if stopping:
            if not spec.saving.is_due(step, spec.steps):
                _save(run, trained, step, mean_loss)
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
    check_model_fits(model, spec.model)
    clips = open_parquet(Path(spec.parquet), first_frame_tensors(family))
    check_workload(family.trained_for(spec.workload), family, clips)
    check_clips_fit(clips, family, model, spec.model)
    shots: list[EncodedShot] = []
    if spec.validation.is_asked_for:
        wanted = wanted_shots(clips, spec, model, family)
        events.write(Phase(title="Encoding the validation prompts"))
        shots = encode_shots(wanted, spec.validation.negative_prompt, model, family, device)
    empty = _empty_caption(spec, model, family, device) if spec.flow.caption_dropout else None
    events.write(Phase(title="Loading the model"))
    transformer = load_to_train(model, family, spec, device)
    trained = Trained(family, transformer, new_adamw(trained_weights(transformer).values(), spec.optimizer))
    shift = spec.flow.shift or load_scheduler(model, None).config.get("flow_shift", family.flow_shift)
    batches = Batches(
        clips=RecentClips(clips),
        family=family,
        mean_std=latent_mean_std(part_config(model, "vae")),
        sigmas=sigma_table(shift),
        empty_caption=empty,
        spec=spec,
        ranks=run.ranks,
    )
    if not shots:
        return trained, batches, None
    pipeline = new_pipeline(model, family, transformer, None, shots[0].image is not None)
    return trained, batches, Sampler(pipeline, shots)


def _empty_caption(spec: TrainSpec, model: Path, family: Family, device: torch.device) -> Tensor:
    """Return the padded embedding LD of the empty caption; FastVideo's preprocessing stores none, so it is made."""
    stored = read_empty_prompt(Path(spec.parquet))
    if stored is None:
        return encode_prompts([EMPTY], model, family, device)[0].squeeze(0)
    return padded(stored, family.text_length)


def _learn(trained: Trained, batches: Iterable[Batch], count: int) -> Tensor:
    """Add up the gradients of so many batches, each counting alike, and return their mean loss."""
    losses = []
    for batch in batches:
        loss = flow_matching_loss(trained.transformer, batch) / count
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    return torch.stack(losses).sum()


def _sample_if_due(run: _Run, sampler: Sampler | None, step: int) -> bool:
    """Sample the validation prompts where this step asks for it; return whether that was cut short by the stop wish."""
    if sampler is None or not run.spec.validation.is_due(step, run.spec.steps):
        return False
    return validate(sampler, run.folder, step, run.ranks, run.events)


def _save(run: _Run, trained: Trained, step: int, loss: float) -> None:
    if run.ranks.is_first:
        run.events.write(save(run.folder, step, loss, trained, run.spec))


def _check_finite(number: float, what: str, run: _Run, step: int) -> None:
    if not math.isfinite(number):
        newest = run.folder.newest_checkpoint()
        kept = "no checkpoint was written yet" if newest is None else f"the checkpoint of step {newest.step} is kept"
        raise EngineError(
            f"The {what} is no longer a number at step {step} ({kept}); lower the learning rate, "
            f"which is {run.spec.optimizer.learning_rate:g}, and start again."
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
