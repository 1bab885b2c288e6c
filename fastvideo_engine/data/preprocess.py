"""Encode clips and captions into Parquet: once each, shared out over the processes, and from where a crash left off."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from fastvideo_engine.clip_rules import Cut
from fastvideo_engine.data.ahead import worked_ahead
from fastvideo_engine.data.captions import (
    EMPTY,
    embedding_of,
    encode_to_disk,
    forget_embeddings,
    keep_empty_prompt,
    not_yet_encoded,
)
from fastvideo_engine.data.changes import attempts_at, changes_since
from fastvideo_engine.data.fitting import model_of, refuse_impossible
from fastvideo_engine.data.ledger import (
    LedgerRow,
    hold_to_settings,
    hold_to_vae,
    read_ledger,
    settled_videos,
)
from fastvideo_engine.data.parquet import latent_shape
from fastvideo_engine.data.results import Results, forget_changed, forget_what_a_crash_left
from fastvideo_engine.data.samples import Encoder
from fastvideo_engine.data.sources import Clip, clips_of
from fastvideo_engine.data.videos import Part, Video, check, in_batches, parts_of
from fastvideo_engine.data.work import Work
from fastvideo_engine.distributed import join_processes
from fastvideo_engine.errors import ClipError, DataError
from fastvideo_engine.events import (
    ArtifactMade,
    EventSink,
    Finished,
    Note,
    Phase,
    SilentWriter,
    Stopped,
)
from fastvideo_engine.families import family_of, family_of_folder
from fastvideo_engine.memory import full_memory_in_words
from fastvideo_engine.reporting import Reporter
from fastvideo_engine.run_folder import RunFolder, forget_folder
from fastvideo_engine.specs.base import is_folder
from fastvideo_engine.specs.preprocess import PreprocessSpec

_SECONDS_BETWEEN_PROGRESS = 1


def run(spec: PreprocessSpec, folder: RunFolder) -> None:
    """Preprocess every clip that the ledger does not name yet, until done or asked to stop."""
    ranks = join_processes()
    refuse_impossible(spec, family_of(spec.model), is_read=is_folder(spec.model))
    clips = clips_of(spec)
    reporter = Reporter(folder)  # every process tells of the clips that it leaves out, the first one of all else
    if ranks.is_first:
        _prepare(spec, folder, clips, reporter)
    ranks.barrier()
    results = Results(folder, ranks.rank, reporter, spec.output)
    settings = hold_to_settings(folder, spec)
    events = reporter if ranks.is_first else SilentWriter()
    work = Work(spec, clips, folder, ranks, events, results, settings)
    with full_memory_in_words("choose fewer frames, a smaller size or fewer clips at once"):
        stopped = _check_clips(work) or _encode_captions(work) or _encode_clips(work)
    ledger = work.ledger()
    if stopped:
        done = len(settled_videos(ledger.values()))
        work.events.write(Stopped(text=f"Stopped; {done} of {len(clips)} clips are done, the rest can follow."))
    else:
        _finish(work, ledger)
    # Not in a `finally`: after a failure the others must not learn of it before this process has said why.
    ranks.leave()


def _prepare(spec: PreprocessSpec, folder: RunFolder, clips: Sequence[Clip], events: EventSink) -> None:
    """Bring the folder into a state to go on from: of these settings, without halves, without what changed."""
    hold_to_settings(folder, spec)
    forget_what_a_crash_left(folder)
    forget_folder(folder.fetched)
    changes = changes_since(read_ledger(folder).values(), clips)
    forget_changed(folder, changes)
    if changes.outdated:
        events.write(Note(text=f"{_clips(len(changes.outdated))} changed since the last time and will be done again."))
    if changes.unlisted:
        events.write(Note(text=f"{_clips(len(changes.unlisted))} left the list and so the Parquet."))


def _check_clips(work: Work) -> bool:
    """Leave out what cannot be used before any model is loaded; return whether to stop."""
    ledger = work.ledger()
    left = [clip for clip in work.left(ledger) if clip.row is None]  # a dataset's videos are still to come
    if left:
        work.events.write(Phase(title=f"Checking {_clips(len(left))}"))
    tried = attempts_at(ledger.values())
    ahead = work.spec.decoding.workers
    for clip, look in worked_ahead(lambda clip: check(clip, work.spec), work.my_share(left), ahead):
        if work.folder.stop_was_asked():
            break
        try:
            look()
        except ClipError as error:
            work.refuse(tried, clip, error)
    stopping = work.stopping()
    ledger = work.ledger()
    work.progress(len(settled_videos(ledger.values())))
    if not stopping:
        _refuse_too_many_bad(work, ledger)
    return stopping


def _encode_captions(work: Work) -> bool:
    """Encode the captions of the clips left, each distinct one once, and the empty one; return whether to stop."""
    left = work.left(work.ledger())
    captions = work.seen_by_all(lambda: not_yet_encoded(work.folder, [clip.text for clip in left]))
    lacks_empty = work.seen_by_all(lambda: not work.folder.empty_prompt.exists())
    if not captions and not lacks_empty:
        return work.stopping()
    work.events.write(Phase(title="Loading the text encoder"))
    model = model_of(work.spec)
    which = _counted(len(captions), "caption") if captions else "the empty caption"
    work.events.write(Phase(title=f"Encoding {which}"))
    wanted = list(dict.fromkeys([*captions, *([EMPTY] if lacks_empty else [])]))
    precision = getattr(torch, work.spec.encoding.text_precision)
    length = family_of_folder(model).text_length
    encode_to_disk(work.folder, work.my_share(wanted), model, length, work.ranks.device, precision)
    stopping = work.stopping()
    if lacks_empty and work.ranks.is_first and not stopping:
        keep_empty_prompt(work.folder, work.spec.model)
    return stopping


def _encode_clips(work: Work) -> bool:
    """Encode the clips left, one batch a process and round; return whether to stop."""
    ledger = work.ledger()
    left = work.left(ledger)
    if not left:
        return False
    work.events.write(Phase(title="Loading the VAE"))
    encoder = Encoder.of(work.spec, work.ranks.device)
    if work.ranks.is_first:
        hold_to_vae(work.folder, encoder.fingerprint)
    work.events.write(Phase(title=f"Encoding {_clips(len(left))}"))
    tried = attempts_at(ledger.values())
    clock = _Clock(work, len(left))

    def refuse(clip: Clip, error: ClipError, cut: Cut | None, video: Video | None) -> None:
        work.refuse(tried, clip, error, cut, video)
        clock.count(cut, video)

    done = {name for name, row in ledger.items() if row.state != "waiting"}
    scratch = work.folder.fetched / str(work.ranks.rank)
    parts = parts_of(work.my_share(left), work.spec, encoder.family, scratch, done, refuse)
    batches = in_batches(parts, work.spec.encoding.batch_size)
    try:
        return _encode_in_rounds(work, encoder, batches, tried, clock)
    finally:  # after a failure too: what was encoded before it need not be encoded again
        work.results.write_waiting()


def _encode_in_rounds(
    work: Work, encoder: Encoder, batches: Iterator[list[Part]], tried: dict[str, int], clock: "_Clock"
) -> bool:
    """Encode a batch a round until no process has any, all agreeing once a round; return whether to stop."""
    while True:
        batch = next(batches, None)
        stopping = work.ranks.agree(work.folder.stop_was_asked())
        if stopping or work.ranks.total(batch is not None) == 0:
            return stopping
        for part, sample, provenance in encoder.encoded(batch or [], partial(embedding_of, work.folder)):
            row = work.row(part.video.clip, tried, "written", part.video, part.cut)
            work.results.add(sample, row, provenance, part.video.clip.is_held_out)
            clock.count(part.cut, part.video)
        clock.tell()


def _refuse_too_many_bad(work: Work, ledger: dict[str, LedgerRow]) -> None:
    """Raise `DataError` when nothing can be used, or more was left out than the spec puts up with."""
    rejected = [row for row in ledger.values() if row.state == "rejected"]
    if not rejected:
        return
    first, spec = rejected[0], work.spec
    share = len({row.listed_as for row in rejected}) / len(work.clips)
    if len(settled_videos(rejected)) == len(work.clips):
        raise DataError(f"None of the {_clips(len(work.clips))} can be used. The first, {first.clip}: {first.reason}")
    if share > spec.max_bad_share:
        raise DataError(
            f"{_clips(len(rejected))} of {len(work.clips)} cannot be used, a larger share than max_bad_share "
            f"({spec.max_bad_share:g}) allows. The first, {first.clip}: {first.reason} "
            "Mend these clips, or allow a larger share; what is done is kept."
        )


def _finish(work: Work, ledger: dict[str, LedgerRow]) -> None:
    """Say what there is now; raise `DataError` when that is nothing, or too little."""
    assert not work.left(ledger), "every clip is either written or left out"
    _refuse_too_many_bad(work, ledger)
    if not work.ranks.is_first:
        return
    forget_embeddings(work.folder)
    forget_folder(work.folder.fetched)
    work.progress(len(settled_videos(ledger.values())))
    written = [row.file for row in ledger.values() if row.file]
    rejected = sum(row.state == "rejected" for row in ledger.values())
    trained = [file for file in written if (work.folder.path / file).is_relative_to(work.folder.parquet)]
    held_out = len(written) - len(trained)
    if not trained:
        raise DataError("All usable clips are held out; lower held_out.share, or add clips to train on.")
    facts = _facts(work, trained) | {"rejected": rejected} | ({"held_out": held_out} if held_out else {})
    work.events.write(ArtifactMade(kind="parquet", path=work.folder.relative(work.folder.parquet), facts=facts))
    ready = f"{_clips(len(written))} {'is' if len(written) == 1 else 'are'} ready"
    apart = f", {held_out} of them held out" if held_out else ""
    out = f", {rejected} {'was' if rejected == 1 else 'were'} left out" if rejected else ""
    work.events.write(Finished(text=f"{ready}{apart}{out}."))


def _facts(work: Work, trained: Sequence[str]) -> dict[str, object]:
    """Describe a dataset by its spec and the files that its rows are in, a name for each row."""
    spec = work.spec
    buckets = Counter(Path(file).parent.parent.name for file in trained)
    by_bucket = {} if set(buckets) == {work.folder.parquet.name} else {"buckets": dict(sorted(buckets.items()))}
    return {
        "clips": len(trained),
        "height": spec.height,
        "width": spec.width,
        "frames": spec.frames,
        "fps": spec.fps,
        "latent_shape": latent_shape(work.folder.path / trained[0]),
        "model": spec.model,
        **by_bucket,
    }


class _Clock:
    """Counts the videos that are through, and tells now and then how far all are and how long the rest will take."""

    def __init__(self, work: Work, left: int) -> None:
        self._work = work
        self._left = left
        self._through = 0
        self._began = self._told = time.monotonic()

    def count(self, cut: Cut | None, video: Video | None) -> None:
        """Count a video once it, or the last clip of it, was encoded or left out."""
        if cut is None or video is None or cut.id == video.cuts[-1].id:
            self._through += 1

    def tell(self) -> None:
        """Report it when it is time; called by all processes together."""
        work, now = self._work, time.monotonic()
        through = work.ranks.total(self._through)
        if through and now - self._told > _SECONDS_BETWEEN_PROGRESS:
            self._told = now
            rest = self._left - through
            work.progress(len(work.clips) - rest, (now - self._began) / through * rest)


def _clips(count: int) -> str:
    return _counted(count, "clip")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
