"""Hand out the files of listed clips one after the other, those of a streamed dataset only for as long as needed."""

import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from fastvideo_engine.data.fetching import fetch
from fastvideo_engine.data.huggingface import open_rows
from fastvideo_engine.data.listings import Row
from fastvideo_engine.data.sources import Clip
from fastvideo_engine.errors import ClipError
from fastvideo_engine.specs.preprocess import HuggingFaceSource, PreprocessSpec


class Arrival:
    """A clip and the way to its file; a file that was fetched is removed when its arrival is forgotten."""

    def __init__(self, clip: Clip, video: Any = None, root: str = "", scratch: Path | None = None) -> None:
        self.clip = clip
        self._video, self._root, self._scratch = video, root, scratch
        self._copy: Path | None = None

    def file(self) -> Path:
        """Return the file, fetched at the first call; raise `ClipError` when the row or the list has none.

        Slow where there is something to fetch, so a matter for a thread that works ahead; one thread at a time.
        """
        if self.clip.problem:
            raise ClipError(self.clip.problem)
        if self.clip.row is None:
            return self.clip.path
        if self._copy is None:
            handle, name = tempfile.mkstemp(dir=self._scratch, prefix="arrived-")
            os.close(handle)
            # Removed with the object: however many readers hold the arrival, the last one to let go ends it.
            weakref.finalize(self, Path(name).unlink, missing_ok=True)
            fetch(self._video, self._root, Path(name))
            self._copy, self._video = Path(name), None
        return self._copy


def arriving(spec: PreprocessSpec, clips: Sequence[Clip], scratch: Path) -> Iterator[Arrival]:
    """Yield the clips in their order, each with the way to its file; files that are fetched go into `scratch`.

    Of a streamed dataset rows are read as they are asked for, so no more than is held lies in memory or on the disk.
    """
    if not isinstance(spec.source, HuggingFaceSource):
        yield from map(Arrival, clips)
        return
    scratch.mkdir(parents=True, exist_ok=True)
    for split, together in groupby(clips, key=lambda clip: _row_of(clip).split):
        rows = open_rows(spec.source, split)
        same_row = {number: list(each) for number, each in groupby(together, key=lambda clip: _row_of(clip).number)}
        for number, row in rows.at(list(same_row)):
            yield from (Arrival(clip, row[rows.columns.video], rows.root, scratch) for clip in same_row[number])


def _row_of(clip: Clip) -> Row:
    assert clip.row is not None, "clips of a dataset carry their rows"
    return clip.row
