"""What became of each clip, a line each, so that a restart repeats none, doubles none and mixes no settings."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from fastvideo_engine.errors import SpecError
from fastvideo_engine.run_folder import RunFolder, write_whole
from fastvideo_engine.specs.base import Part
from fastvideo_engine.specs.preprocess import PreprocessSpec

# What a row does not depend on: whence it came, how fast, in which file, and how many bad ones may be beside it.
_WITHOUT_EFFECT_ON_ROWS: dict[str, Any] = {
    "kind": True,
    "model": True,  # its VAE's fingerprint is held to instead, for a model may move
    "source": True,
    "processes": True,
    "max_bad_share": True,
    "decoding": True,
    "encoding": {"batch_size"},
    "output": {"samples_per_file", "flush_frequency", "rows_per_group"},
}
_VAE = "model (its VAE)"


class LedgerRow(Part):
    """A clip's fate: a row of a Parquet file (named from the run folder on), or the reason why it was left out.

    One that waits was there before, until its file or caption changed.
    """

    clip: str
    state: Literal["written", "rejected", "waiting"]
    video: str | None = None
    """The listed video that it is a part of, where that gives several clips."""
    parts: int = 1
    """How many clips the video gives."""
    attempts: int = 1
    stamp: str = ""
    """Size and time of the file: while they stay, its content need not be read to know that it stayed too."""
    content: str = ""
    """SHA-256 of the file."""
    input: str = ""
    """Hash of content and caption: another one means another sample."""
    settings: str = ""
    """Hash of the settings that decide what is in the row."""
    file: str | None = None
    row: int | None = None
    reason: str | None = None
    field: str | None = None
    """The field of the spec to change, where that would let the clip in."""

    @property
    def listed_as(self) -> str:
        return self.video or self.clip


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


def rows_by_video(rows: Iterable[LedgerRow]) -> dict[str, list[LedgerRow]]:
    """Group the rows of clips that are done by the video that the list names."""
    found: dict[str, list[LedgerRow]] = {}
    for row in rows:
        if row.state != "waiting":
            found.setdefault(row.listed_as, []).append(row)
    return found


def settled_videos(rows: Iterable[LedgerRow]) -> set[str]:
    """Name the listed videos of which every clip is written or left out."""
    return {video for video, its_rows in rows_by_video(rows).items() if len(its_rows) >= its_rows[0].parts}


def rewrite_ledger(folder: RunFolder, rows: Iterable[LedgerRow]) -> None:
    """Replace the files of all processes by one with these rows; no process may be writing."""
    write_whole(_file_of(folder, 0), _as_lines(rows))
    for file in folder.ledger.glob("worker_*.jsonl"):
        if file != _file_of(folder, 0):
            file.unlink()


def hold_to_settings(folder: RunFolder, spec: PreprocessSpec) -> str:
    """Return the hash of the settings that decide what is in a row; raise `SpecError` when the folder's rows differ."""
    asked = _flat(spec.model_dump(mode="json", exclude=_WITHOUT_EFFECT_ON_ROWS))
    begun = _held_to(folder)
    # A field that was not there when the folder was begun had its default.
    usual = _flat(_defaults_of(spec))
    differing = [
        f"{field} was {begun.get(field, usual.get(field))}, now {value}"
        for field, value in asked.items()
        if begun and value != begun.get(field, usual.get(field))
    ]
    if differing:
        raise SpecError(
            f"{folder.path} holds clips of other settings ({'; '.join(differing)}); "
            "choose another output folder for these, or take the old settings to continue."
        )
    if not begun:
        _hold(folder, asked)
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def hold_to_vae(folder: RunFolder, fingerprint: str) -> None:
    """Remember which VAE the folder's latents come from; raise `SpecError` when it was another one."""
    begun = _held_to(folder)
    if begun.get(_VAE, fingerprint) != fingerprint:
        raise SpecError(
            f"{folder.path} holds clips that another VAE encoded, so the model was changed; "
            "choose another output folder for this model, or take the old one to continue."
        )
    if _VAE not in begun:
        _hold(folder, begun | {_VAE: fingerprint})


def _held_to(folder: RunFolder) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = json.loads(_settings_of(folder).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return settings


def _hold(folder: RunFolder, settings: dict[str, Any]) -> None:
    write_whole(_settings_of(folder), json.dumps(settings, indent=2))


def _settings_of(folder: RunFolder) -> Path:
    return folder.ledger / "settings.json"


def _defaults_of(spec: PreprocessSpec) -> dict[str, Any]:
    usual = type(spec)(model=spec.model, source=spec.source)
    return usual.model_dump(mode="json", exclude=_WITHOUT_EFFECT_ON_ROWS)


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def _file_of(folder: RunFolder, rank: int) -> Path:
    return folder.ledger / f"worker_{rank}.jsonl"


def _as_lines(rows: Iterable[LedgerRow]) -> bytes:
    return b"".join(row.model_dump_json(exclude_defaults=True).encode() + b"\n" for row in rows)
