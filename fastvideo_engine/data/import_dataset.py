"""Bring the videos and captions of a Hugging Face dataset into a run folder, row by row."""

import posixpath
import re
import time
from itertools import chain, count
from pathlib import Path
from typing import Any

from fastvideo_engine.captions import name_and_caption
from fastvideo_engine.data.fetching import bytes_and_path, fetch
from fastvideo_engine.data.huggingface import open_rows
from fastvideo_engine.errors import ClipError, DataError
from fastvideo_engine.events import ClipImported, ClipRejected, Finished, Phase, Progress, Stopped, read_events
from fastvideo_engine.media import probe
from fastvideo_engine.reporting import Reporter
from fastvideo_engine.run_folder import RunFolder
from fastvideo_engine.specs.imports import ImportSpec
from fastvideo_engine.specs.preprocess import HuggingFaceSource

_LONGEST_NAME = 100

Fate = ClipImported | ClipRejected


def run(spec: ImportSpec, folder: RunFolder) -> None:
    """Import every row that the events do not tell of yet, until done or asked to stop."""
    events = Reporter(folder)
    events.write(Phase(title=f"Opening {spec.dataset}"))
    rows = open_rows(_source_of(spec))
    # The events are the memory: an imported clip may have been moved on from the run folder.
    fates: list[Fate] = [event for event in read_events(folder.events)[0] if isinstance(event, Fate)]
    taken = {fate.name for fate in fates if isinstance(fate, ClipImported)}
    before, began = len(fates), time.monotonic()
    events.write(Phase(title="Importing clips"))
    for number, row in enumerate(rows.after(before), start=before + 1):
        if folder.stop_was_asked():
            events.write(Stopped(text=f"Stopped; {_in_words(fates)}."))
            return
        video, caption = row.get(spec.video_column), name_and_caption({"caption": row.get(spec.caption_column)})[1]
        try:
            clip = _brought(video, rows.root, number, folder, taken)
            taken.add(clip.name)
            fates.append(ClipImported(name=clip.name, path=folder.relative(clip), caption=caption))
        except ClipError as error:
            fates.append(ClipRejected(clip=f"row {number}", reason=str(error)))
        events.write(fates[-1])
        pace = (time.monotonic() - began) / (number - before)
        left = None if rows.total is None else pace * (rows.total - number)
        events.write(Progress(done=number, total=max(number, rows.total or 0), seconds_left=left))
    if not any(isinstance(fate, ClipImported) for fate in fates):
        raise DataError(f"No clip of {spec.dataset} could be imported; {_first_reason(fates)}")
    events.write(Finished(text=f"{_in_words(fates)}."))


def _source_of(spec: ImportSpec) -> HuggingFaceSource:
    return HuggingFaceSource(
        path=spec.dataset,
        split=spec.split,
        video_column=spec.video_column,
        caption_column=spec.caption_column,
        limit=spec.limit,
    )


def _brought(video: Any, root: str, number: int, folder: RunFolder, taken: set[str]) -> Path:
    """Put a row's video into the run folder, under a name that is free; raise `ClipError` when it is none."""
    folder.clips.mkdir(exist_ok=True)
    arriving = folder.clips / ".arriving"
    fetch(video, root, arriving)
    try:
        facts = probe(arriving)
    except ClipError:
        arriving.unlink()
        raise
    path = bytes_and_path(video)[1]
    name = posixpath.basename(path) if path else f"clip-{number:06d}"
    clip = folder.clips / _free_name(name, f".{facts.container}", taken)
    arriving.replace(clip)
    return clip


def _free_name(name: str, ending: str, taken: set[str]) -> str:
    """Make a name safe in any file system and in addresses, and unlike those taken."""
    stem, own_ending = posixpath.splitext(name)
    stem = re.sub(r"[^\w-]+", "_", stem).strip("_")[:_LONGEST_NAME] or "clip"
    ending = own_ending.lower() if re.fullmatch(r"\.\w{1,5}", own_ending) else ending
    names = chain([f"{stem}{ending}"], (f"{stem}-{number}{ending}" for number in count(2)))
    return next(free for free in names if free not in taken)


def _in_words(fates: list[Fate]) -> str:
    imported = sum(isinstance(fate, ClipImported) for fate in fates)
    out = len(fates) - imported
    brought = f"{imported} {'clip was' if imported == 1 else 'clips were'} imported"
    return f"{brought}, {out} left out" if out else brought


def _first_reason(fates: list[Fate]) -> str:
    rejected = [fate for fate in fates if isinstance(fate, ClipRejected)]
    return f"the first, {rejected[0].clip}: {rejected[0].reason}" if rejected else "it has no rows."
