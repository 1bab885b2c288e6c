"""What one process has to show for its clips: rows of Parquet, and each clip's fate in the ledger and the events."""

import shutil
import time
from collections import Counter, deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fastvideo_engine.data.changes import Changes, attempts_at
from fastvideo_engine.data.ledger import LedgerRow, LedgerWriter, read_ledger, rewrite_ledger
from fastvideo_engine.data.parquet import (
    GrowingFile,
    Provenance,
    Sample,
    count_rows,
    write_without,
    written_files,
)
from fastvideo_engine.data.stages import timed
from fastvideo_engine.events import ClipRejected, EventSink
from fastvideo_engine.run_folder import RunFolder
from fastvideo_engine.specs.preprocess import Output

# A crash costs what is not written yet: at most so many clips as the spec says, and at most so long ago.
_SECONDS_PER_FILE = 60
_SAMPLES_WAITING = 2  # for the disk, at most: they are large


@dataclass
class _Open:
    """A file that still grows, and the rows of the ledger that are due once it is whole."""

    file: GrowingFile
    rows: list[LedgerRow] = field(default_factory=list)


class Results:
    """Write samples on a thread of its own, and each clip down in the ledger once its row is on the disk."""

    def __init__(self, folder: RunFolder, rank: int, events: EventSink, output: Output | None = None) -> None:
        self._folder = folder
        self._rank = rank
        self._output = output or Output()
        self._ledger = LedgerWriter(folder, rank)
        self._events = events
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="parquet")
        self._to_write: deque[Future[None]] = deque()
        self._open: dict[Path, _Open] = {}
        self._oldest = 0.0
        self._taken, self._written = 0, 0  # the one counted here, the other on the thread

    @property
    def unwritten(self) -> int:
        """Count the samples taken whose rows are not in the ledger yet."""
        return self._taken - self._written

    def add(self, sample: Sample, row: LedgerRow, provenance: Provenance, is_held_out: bool = False) -> None:
        """Take a sample, and the row of the ledger that lacks its place; wait while the disk is far behind."""
        self._taken += 1
        with timed("wait"):
            while len(self._to_write) >= _SAMPLES_WAITING:
                self._to_write.popleft().result()
        self._to_write.append(self._thread.submit(timed("write")(self._write), sample, row, provenance, is_held_out))

    def write_waiting(self) -> None:
        """Write to its end what still waits for its file to fill."""
        self._to_write.append(self._thread.submit(timed("write")(self._finish_all)))
        with timed("wait"):
            while self._to_write:
                self._to_write.popleft().result()

    def reject(self, row: LedgerRow) -> None:
        """Leave a clip out, and say why."""
        self._events.write(ClipRejected(clip=row.clip, reason=row.reason or ""))
        self._ledger.add([row])

    def _write(self, sample: Sample, row: LedgerRow, provenance: Provenance, is_held_out: bool) -> None:
        if not self._open:
            self._oldest = time.monotonic()
        folder = self._folder.validation_parquet if is_held_out else self._folder.parquet
        folder = folder / sample.origin.bucket / f"worker_{self._rank}"
        if folder not in self._open:
            self._open[folder] = _Open(GrowingFile(folder, provenance, self._output.rows_per_group))
        growing = self._open[folder]
        growing.file.add(sample)
        growing.rows.append(row)
        if len(growing.rows) >= self._output.samples_per_file:
            self._finish(folder)
        is_late = time.monotonic() - self._oldest > _SECONDS_PER_FILE
        if is_late or sum(len(each.rows) for each in self._open.values()) >= self._output.flush_frequency:
            self._finish_all()

    def _finish_all(self) -> None:
        for folder in list(self._open):
            self._finish(folder)

    def _finish(self, folder: Path) -> None:
        done = self._open.pop(folder)
        file = self._folder.relative(done.file.finish())
        places = ({"file": file, "row": number} for number in range(len(done.rows)))
        self._ledger.add([row.model_copy(update=place) for row, place in zip(done.rows, places, strict=True)])
        self._written += len(done.rows)


def forget_what_a_crash_left(folder: RunFolder) -> None:
    """Keep the files whose every row is in the ledger, and the ledger's rows whose file is whole; no process writes.

    A crash may fall between a file and its lines in the ledger, or between two of these lines: its clips come again.
    """
    rows = read_ledger(folder).values()
    named = Counter(row.file for row in rows if row.file)
    whole = {file for file, count in named.items() if count_rows(folder.path / file) == count}
    for dataset in (folder.parquet, folder.validation_parquet):
        for file in written_files(dataset):
            if folder.relative(file) not in whole:
                file.unlink()
    forget_fastvideos_index(folder)
    rewrite_ledger(folder, [row for row in rows if row.file is None or row.file in whole])


def forget_changed(folder: RunFolder, changes: Changes) -> None:
    """Take videos that changed or left the list out of Parquet and ledger, so that the former come again.

    No process writes. The files without them are written first, then the ledger names these, then the old ones go:
    a crash in between leaves files that the ledger does not name, which are forgotten at the next start.
    """
    gone = changes.outdated | changes.unlisted
    if not gone and not changes.restamped:
        return
    rows = [*({row.clip: row for row in (*read_ledger(folder).values(), *changes.restamped)}.values())]
    going = [row for row in rows if row.listed_as in gone]
    touched = sorted({row.file for row in going if row.file})
    moved = {clip: place for file in touched for clip, place in _written_anew(folder, file, rows, gone).items()}
    tried = attempts_at(going)
    waiting = [LedgerRow(clip=video, state="waiting", attempts=tried[video]) for video in sorted(changes.outdated)]
    staying = [row.model_copy(update=moved.get(row.clip, {})) for row in rows if row.listed_as not in gone]
    rewrite_ledger(folder, [*staying, *waiting])
    for file in touched:
        (folder.path / file).unlink()
    forget_fastvideos_index(folder)


def forget_fastvideos_index(folder: RunFolder) -> None:
    """Remove the indices that FastVideo keeps inside a dataset: they would hide the files that are still to come."""
    for dataset in (folder.parquet, folder.validation_parquet):
        for index in list(dataset.rglob("map_style_cache")):
            shutil.rmtree(index, ignore_errors=True)


def _written_anew(
    folder: RunFolder, file: str, rows: Sequence[LedgerRow], gone: Collection[str]
) -> dict[str, dict[str, str | int]]:
    """Write a file again without the videos that go, if any stay; return the new places of the others by clip."""
    inside = sorted((row for row in rows if row.file == file), key=lambda row: row.row or 0)
    staying = [row for row in inside if row.listed_as not in gone]
    if not staying:
        return {}
    going = {number for number, row in enumerate(inside) if row.listed_as in gone}
    name = folder.relative(write_without(folder.path / file, going))
    return {row.clip: {"file": name, "row": number} for number, row in enumerate(staying)}
