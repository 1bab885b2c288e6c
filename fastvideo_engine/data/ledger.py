"""What became of each clip, a line each, so that a restart repeats none and doubles none."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from fastvideo_engine.run_folder import RunFolder, write_whole
from fastvideo_engine.specs.base import Part


class LedgerRow(Part):
    """A clip's fate: a row of a Parquet file (named from the run folder on), or the reason why it was left out."""

    clip: str
    state: Literal["written", "rejected"]
    file: str | None = None
    row: int | None = None
    reason: str | None = None


class LedgerWriter:
    """Append rows for one process; what `add` was given is on the disk when it returns."""

    def __init__(self, folder: RunFolder, rank: int) -> None:
        folder.ledger.mkdir(parents=True, exist_ok=True)
        self._file = os.open(_file_of(folder, rank), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def add(self, rows: Iterable[LedgerRow]) -> None:
        os.write(self._file, _as_lines(rows))
        os.fsync(self._file)


def read_ledger(folder: RunFolder) -> dict[str, LedgerRow]:
    """Read what every process wrote down, by clip id; a line torn by a crash is passed over."""
    rows = {}
    for file in sorted(folder.ledger.glob("worker_*.jsonl")):
        for line in file.read_bytes().splitlines():
            try:
                row = LedgerRow.model_validate_json(line)
            except ValidationError:
                continue
            rows[row.clip] = row
    return rows


def count_ledger(folder: RunFolder) -> int:
    """Count the rows without reading them; exact once `rewrite_ledger` has mended what a crash left."""
    return sum(file.read_bytes().count(b"\n") for file in folder.ledger.glob("worker_*.jsonl"))


def rewrite_ledger(folder: RunFolder, rows: Iterable[LedgerRow]) -> None:
    """Replace the files of all processes by one with these rows; no process may be writing."""
    write_whole(_file_of(folder, 0), _as_lines(rows))
    for file in folder.ledger.glob("worker_*.jsonl"):
        if file != _file_of(folder, 0):
            file.unlink()


def _file_of(folder: RunFolder, rank: int) -> Path:
    return folder.ledger / f"worker_{rank}.jsonl"


def _as_lines(rows: Iterable[LedgerRow]) -> bytes:
    return b"".join(row.model_dump_json(exclude_none=True).encode() + b"\n" for row in rows)
