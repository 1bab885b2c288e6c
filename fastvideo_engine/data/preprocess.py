"""Encode clips and captions into Parquet: once each, shared out over the processes, and from where a crash left off."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TypeVar

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from fastvideo_engine import __version__
from fastvideo_engine.clip_rules import chosen_frames, why_unusable
from fastvideo_engine.components import load_vae, model_folder, vae_fingerprint
from fastvideo_engine.data.ahead import worked_ahead
from fastvideo_engine.data.captions import embedding_of, encode_to_disk, forget_embeddings, not_yet_encoded
from fastvideo_engine.data.frames import as_vae_input, cropped_and_resized, read_frames
from fastvideo_engine.data.ledger import LedgerRow, count_ledger, read_ledger
from fastvideo_engine.data.parquet import Provenance, Sample, latent_shape
from fastvideo_engine.data.results import EventSink, Results, forget_what_a_crash_left
from fastvideo_engine.data.sources import Clip, read_source
from fastvideo_engine.distributed import Ranks, join_processes
from fastvideo_engine.errors import ClipError, DataError, SpecError
from fastvideo_engine.events import (
    ArtifactMade,
    EventWriter,
    Finished,
    Phase,
    Progress,
    SilentWriter,
    Stopped,
)
from fastvideo_engine.families import Family, family_of, family_of_folder
from fastvideo_engine.media import ClipFacts, probe
from fastvideo_engine.memory import full_memory_in_words
from fastvideo_engine.reporting import Reporter
from fastvideo_engine.run_folder import RunFolder
from fastvideo_engine.specs.preprocess import PreprocessSpec

_CLIPS_AHEAD = 4

Answer = TypeVar("Answer")
_Reading = Callable[[], tuple[ClipFacts, Tensor]]


@dataclass(frozen=True)
class _Work:
    """What every phase needs: what was asked, where it goes, and who shares it."""

    spec: PreprocessSpec
    clips: Sequence[Clip]
    folder: RunFolder
    ranks: Ranks
    events: EventSink
    results: Results

    def seen_by_all(self, look: Callable[[], Answer]) -> Answer:
        """Look at the run folder while no process changes it, so that all see the same."""
        self.ranks.barrier()
        answer = look()
        self.ranks.barrier()
        return answer

    def clips_left(self) -> list[Clip]:
        ledger = self.seen_by_all(lambda: read_ledger(self.folder))
        return [clip for clip in self.clips if clip.id not in ledger]

    def my_share(self, everything: Sequence[Answer]) -> Sequence[Answer]:
        return everything[self.ranks.rank :: self.ranks.world_size]

    def stopping(self) -> bool:
        """Tell whether to stop, the same in all processes; a process that saw the wish before may be waiting here."""
        self.ranks.barrier()
        return self.ranks.agree(self.folder.stop_was_asked())

    def progress(self, seconds_left: float | None = None) -> None:
        if self.ranks.is_first:
            done = count_ledger(self.folder)
            self.events.write(Progress(done=done, total=len(self.clips), seconds_left=seconds_left))


def run(spec: PreprocessSpec, folder: RunFolder) -> None:
    """Preprocess every clip that the ledger does not name yet, until done or asked to stop."""
    ranks = join_processes()
    _refuse_impossible(spec, family_of(spec.model))
    clips = read_source(spec.source)
    if ranks.is_first:
        forget_what_a_crash_left(folder)
    ranks.barrier()
    reporter = Reporter(folder) if ranks.is_first else None
    results = Results(folder, ranks.rank, reporter or EventWriter(folder.events))
    work = _Work(spec, clips, folder, ranks, reporter or SilentWriter(), results)
    with full_memory_in_words("choose fewer frames or a smaller size"):
        stopped = _check_clips(work) or _encode_captions(work) or _encode_clips(work)
    ledger = work.seen_by_all(lambda: read_ledger(folder))
    if stopped:
        work.events.write(Stopped(text=f"Stopped; {len(ledger)} of {len(clips)} clips are done, the rest can follow."))
    else:
        _finish(work, ledger)
    # Not in a `finally`: after a failure the others must not learn of it before this process has said why.
    ranks.leave()


def _refuse_impossible(spec: PreprocessSpec, family: Family) -> None:
    problems = family.problems(spec.height, spec.width, spec.frames)
    if problems:
        raise SpecError(" ".join(problems.values()))


def _check_clips(work: _Work) -> bool:
    """Leave out what cannot be used before any model is loaded; return whether to stop."""
    left = work.clips_left()
    if left:
        work.events.write(Phase(title=f"Checking {_clips(len(left))}"))
    for clip, look in worked_ahead(lambda clip: _facts_of(clip, work.spec), work.my_share(left), _CLIPS_AHEAD):
        if work.folder.stop_was_asked():
            break
        try:
            look()
        except ClipError as error:
            work.results.reject(clip.id, str(error))
    stopping = work.stopping()
    work.progress()
    return stopping


def _encode_captions(work: _Work) -> bool:
    """Encode the captions of the clips left, each distinct one once; return whether to stop."""
    left = work.clips_left()
    captions = work.seen_by_all(lambda: not_yet_encoded(work.folder, [clip.caption for clip in left]))
    if captions:
        work.events.write(Phase(title="Loading the text encoder"))
        model = _model_of(work.spec)
        work.events.write(Phase(title=f"Encoding {_counted(len(captions), 'caption')}"))
        length = family_of_folder(model).text_length
        encode_to_disk(work.folder, work.my_share(captions), model, length, work.ranks.device)
    return work.stopping()


def _encode_clips(work: _Work) -> bool:
    """Encode the clips left, one a process and round; return whether to stop."""
    left = work.clips_left()
    if not left:
        return False
    work.events.write(Phase(title="Loading the VAE"))
    model = _model_of(work.spec)
    vae, provenance = load_vae(model, work.ranks.device), _provenance(work.spec, model)
    work.events.write(Phase(title=f"Encoding {_clips(len(left))}"))
    mine, began, stopping = work.my_share(left), time.monotonic(), False
    for number, upcoming in enumerate(_in_rounds(work, mine, len(left)), start=1):
        stopping = work.ranks.agree(work.folder.stop_was_asked())
        if stopping:
            break
        if upcoming and _encode_clip(work, vae, provenance, *upcoming):
            work.progress((time.monotonic() - began) / number * (len(mine) - number))
    work.results.write_waiting(provenance)
    return stopping


def _in_rounds(work: _Work, mine: Sequence[Clip], left: int) -> Iterator[tuple[Clip, _Reading] | None]:
    """Yield this process's clips, read ahead; as often in every process, since all agree once a round."""
    rounds = math.ceil(left / work.ranks.world_size)
    yield from worked_ahead(lambda clip: _read(clip, work.spec), mine, _CLIPS_AHEAD)
    yield from repeat(None, rounds - len(mine))


def _encode_clip(work: _Work, vae: AutoencoderKLWan, provenance: Provenance, clip: Clip, reading: _Reading) -> bool:
    """Encode a clip, or leave it out; return whether the ledger grew."""
    try:
        facts, frames = reading()
    except ClipError as error:
        work.results.reject(clip.id, str(error))
        return True
    with torch.inference_mode():
        # The mean, not a draw: FastVideo stores it raw, and the trainer normalises it.
        latent = vae.encode(as_vae_input(frames.to(vae.device))).latent_dist.mean[0]
    sample = Sample(
        id=clip.id,
        file_name=clip.name,
        caption=clip.caption,
        vae_latent=latent.float().cpu().numpy(),
        text_embedding=embedding_of(work.folder, clip.caption),
        width=frames.shape[-1],
        height=frames.shape[-2],
        # FastVideo divides the frames taken by the source's own rate; readers of its Parquet expect that number.
        duration_seconds=len(frames) / facts.fps,
        source_fps=facts.fps,
    )
    return work.results.add(sample, provenance)


def _read(clip: Clip, spec: PreprocessSpec) -> tuple[ClipFacts, Tensor]:
    facts = _facts_of(clip, spec)
    frames = read_frames(clip.path, chosen_frames(facts, spec.fps, spec.frames))
    return facts, cropped_and_resized(frames, spec.height, spec.width)


def _facts_of(clip: Clip, spec: PreprocessSpec) -> ClipFacts:
    """Probe a clip; raise `ClipError` with the reason when it cannot be used."""
    if clip.problem:
        raise ClipError(clip.problem)
    facts = probe(clip.path)
    reason = why_unusable(facts, clip.caption, spec.fps, spec.frames)
    if reason:
        raise ClipError(reason)
    return facts


def _model_of(spec: PreprocessSpec) -> Path:
    """Find or fetch the model, whose family is known for certain only now."""
    folder = model_folder(spec.model)
    _refuse_impossible(spec, family_of_folder(folder))
    return folder


def _provenance(spec: PreprocessSpec, model: Path) -> Provenance:
    return Provenance(
        model=spec.model,
        vae_fingerprint=vae_fingerprint(model),
        train_fps=spec.fps,
        height=spec.height,
        width=spec.width,
        frames=spec.frames,
        engine_version=__version__,
    )


def _finish(work: _Work, ledger: dict[str, LedgerRow]) -> None:
    """Say what there is now; raise `DataError` when that is nothing."""
    written = [row.file for row in ledger.values() if row.file]
    rejected = [row for row in ledger.values() if row.state == "rejected"]
    if not written:
        first = rejected[0]
        raise DataError(f"None of the {_clips(len(ledger))} can be used. The first, {first.clip}: {first.reason}")
    if not work.ranks.is_first:
        return
    forget_embeddings(work.folder)
    work.progress()
    spec, shape = work.spec, latent_shape(work.folder.path / written[0])
    facts = {
        "clips": len(written),
        "rejected": len(rejected),
        "height": spec.height,
        "width": spec.width,
        "frames": spec.frames,
        "fps": spec.fps,
        "latent_shape": shape,
        "model": spec.model,
    }
    work.events.write(ArtifactMade(kind="parquet", path=work.folder.relative(work.folder.parquet), facts=facts))
    ready = f"{_clips(len(written))} {'is' if len(written) == 1 else 'are'} ready"
    out = f", {len(rejected)} {'was' if len(rejected) == 1 else 'were'} left out" if rejected else ""
    work.events.write(Finished(text=f"{ready}{out}."))


def _clips(count: int) -> str:
    return _counted(count, "clip")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
