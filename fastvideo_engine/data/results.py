"""What one process has to show for its clips: rows of Parquet, and each clip's fate in the ledger and the events."""

import shutil
import time
from collections import Counter
from typing import Protocol

from fastvideo_engine.data.ledger import LedgerRow, LedgerWriter, read_ledger, rewrite_ledger
from fastvideo_engine.data.parquet import Provenance, Sample, count_rows, write_samples, written_files
from fastvideo_engine.events import ClipRejected, Event
from fastvideo_engine.run_folder import RunFolder

# A crash costs what is not written yet: at most so many clips, and at most so long ago.
_ROWS_PER_FILE = 8
_SECONDS_PER_FILE = 60


class EventSink(Protocol):
    """Takes events: the reporter, or a bare writer in the processes that do not report."""

    def write(self, event: Event) -> None:
        """Keep one event."""


class Results:
    """Collect samples into small files and write each clip down in the ledger, once its row is on the disk."""

    def __init__(self, folder: RunFolder, rank: int, events: EventSink) -> None:
        self._folder = folder
        self._parquet = folder.parquet / f"worker_{rank}"
        self._ledger = LedgerWriter(folder, rank)
        self._events = events
        self._waiting: list[Sample] = []
        self._waiting_since = 0.0

    def add(self, sample: Sample, provenance: Provenance) -> bool:
        """Take a sample; return whether it and those before it were written."""
        if not self._waiting:
            self._waiting_since = time.monotonic()
        self._waiting.append(sample)
        is_due = len(self._waiting) == _ROWS_PER_FILE or time.monotonic() - self._waiting_since > _SECONDS_PER_FILE
        if is_due:
            self.write_waiting(provenance)
        return is_due

    def write_waiting(self, provenance: Provenance) -> None:
        """Write the samples that wait for their file to fill."""
        if self._waiting:
            file = self._folder.relative(write_samples(self._parquet, self._waiting, provenance))
            names = enumerate(sample.id for sample in self._waiting)
            self._ledger.add([LedgerRow(clip=name, state="written", file=file, row=row) for row, name in names])
            self._waiting = []

    def reject(self, clip: str, reason: str) -> None:
        """Leave a clip out, and say why."""
        self._events.write(ClipRejected(clip=clip, reason=reason))
        self._ledger.add([LedgerRow(clip=clip, state="rejected", reason=reason)])


def forget_what_a_crash_left(folder: RunFolder) -> None:
    """Keep the files whose every row is in the ledger, and the ledger's rows whose file is whole; no process writes.

    A crash may fall between a file and its lines in the ledger, or between two of these lines: its clips come again.
    """
    rows = read_ledger(folder).values()
    named = Counter(row.file for row in rows if row.file)
    whole = {file for file, count in named.items() if count_rows(folder.path / file) == count}
    for file in written_files(folder.parquet):
        if folder.relative(file) not in whole:
            file.unlink()
    # FastVideo's index of the folder: it would hide the files that are still to come.
    shutil.rmtree(folder.parquet / "map_style_cache", ignore_errors=True)
    rewrite_ledger(folder, [row for row in rows if row.state == "rejected" or row.file in whole])
