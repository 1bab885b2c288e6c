"""Parquet in FastVideo's schemas: files that grow a row at a time and appear whole, and what they were made from."""

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fastvideo_engine.specs.base import Part

_OUR_NAME = re.compile(r"\.?data_chunk_[0-9a-f]{32}\.(parquet|part)")
_PROVENANCE_KEY = b"fastvideo_studio"

_TEXT, _COUNT, _NUMBER = pa.string(), pa.int64(), pa.float64()
_Columns = list[tuple[str, pa.DataType]]


def _tensor_columns(*names: str) -> _Columns:
    each = (("bytes", pa.binary()), ("shape", pa.list_(_COUNT)), ("dtype", _TEXT))
    return [(f"{name}_{end}", kind) for name in names for end, kind in each]


_ABOUT_THE_CLIP: _Columns = [
    ("file_name", _TEXT),
    ("caption", _TEXT),
    ("media_type", _TEXT),
    ("width", _COUNT),
    ("height", _COUNT),
    ("num_frames", _COUNT),
    ("duration_sec", _NUMBER),
    ("fps", _NUMBER),
]
# FastVideo reads its columns by name and passes over these.
_ABOUT_ITS_ORIGIN: _Columns = [
    ("source_sha256", _TEXT),
    ("source_frames", _COUNT),
    ("frame_indices", pa.list_(_COUNT)),
    ("train_fps", _NUMBER),
    ("bucket", _TEXT),
    ("model", _TEXT),
    ("vae_fingerprint", _TEXT),
    ("engine_version", _TEXT),
]
_OF_BOTH = ("vae_latent", "text_embedding")
_OF_THE_IMAGE = ("clip_feature", "first_frame_latent", "pil_image")

# FastVideo's `pyarrow_schema_t2v` and `pyarrow_schema_i2v`, column for column, and ours after them.
T2V_SCHEMA = pa.schema([("id", _TEXT), *_tensor_columns(*_OF_BOTH), *_ABOUT_THE_CLIP, *_ABOUT_ITS_ORIGIN])
I2V_SCHEMA = pa.schema(
    [("id", _TEXT), *_tensor_columns(*_OF_BOTH, *_OF_THE_IMAGE), *_ABOUT_THE_CLIP, *_ABOUT_ITS_ORIGIN]
)
# Noise-like floats do not shrink: zstd takes time on the latents and gives back a few per cent. Stored plain, a
# reader that maps the file has them without a copy.
_STORED_PLAIN = ("vae_latent_bytes", "first_frame_latent_bytes", "clip_feature_bytes")


class Provenance(Part):
    """What a Parquet file was made with, so that a trainer can tell whether it fits the model."""

    model: str
    vae_fingerprint: str
    train_fps: float
    height: int
    width: int
    frames: int
    engine_version: str
    workload: Literal["t2v", "i2v"] = "t2v"


@dataclass(frozen=True)
class FirstFrame:
    """What an image-to-video model is given of the first frame; what it does not read is None."""

    clip_feature: np.ndarray | None = None
    """LD, as the last layer but one of CLIP has it."""
    latent: np.ndarray | None = None
    """CTHW of the frame followed by grey, normalised."""


@dataclass(frozen=True)
class Origin:
    """Where a row comes from: the file's content, its length, and which of its frames were taken."""

    sha256: str = ""
    frames: int = 0
    frame_indices: tuple[int, ...] = ()
    bucket: str = ""


@dataclass(frozen=True)
class Sample:
    """One row: a clip's raw latent CTHW and its caption's embedding LD, with what was known of the clip."""

    id: str
    file_name: str
    caption: str
    vae_latent: np.ndarray
    text_embedding: np.ndarray
    width: int
    height: int
    duration_seconds: float
    source_fps: float
    origin: Origin = Origin()
    first_frame: FirstFrame = FirstFrame()


class GrowingFile:
    """A file that takes one sample after another and has its name only once `finish` says that it is whole."""

    def __init__(self, folder: Path, provenance: Provenance, rows_per_group: int = 1) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._schema = I2V_SCHEMA if provenance.workload == "i2v" else T2V_SCHEMA
        self._provenance = provenance
        self._rows_per_group = rows_per_group
        self._waiting: list[dict[str, object]] = []
        self._file = folder / f"data_chunk_{uuid4().hex}.parquet"
        self._beside = _beside(self._file)
        note = {_PROVENANCE_KEY: provenance.model_dump_json().encode()}
        self._writer = _writer(self._beside, self._schema.with_metadata(note))

    def add(self, sample: Sample) -> None:
        """Append a sample; memory holds no more of them than a row group takes."""
        row = _as_row(sample, self._provenance)
        self._waiting.append({name: row[name] for name in self._schema.names})
        if len(self._waiting) == self._rows_per_group:
            self._write_group()

    def finish(self) -> Path:
        """Close the file and return it; it is whole and on the disk under its name."""
        if self._waiting:
            self._write_group()
        self._writer.close()
        return _appear(self._beside, self._file)

    def discard(self) -> None:
        """Leave nothing behind."""
        self._writer.close()
        self._beside.unlink(missing_ok=True)

    def _write_group(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema))
        self._waiting = []


def write_samples(folder: Path, samples: Sequence[Sample], provenance: Provenance) -> Path:
    """Write samples as one new file in a folder and return it."""
    file = GrowingFile(folder, provenance)
    try:
        for sample in samples:
            file.add(sample)
        return file.finish()
    except BaseException:
        file.discard()
        raise


def write_without(file: Path, rows: Collection[int]) -> Path:
    """Write a new file beside one of ours, with the rows that are not named; the old one stays."""
    renewed = file.with_name(f"data_chunk_{uuid4().hex}.parquet")
    beside = _beside(renewed)
    with pq.ParquetFile(file) as old, _writer(beside, old.schema_arrow) as new:
        number = 0
        for group in range(old.num_row_groups):
            table = old.read_row_group(group)
            kept = [row for row in range(len(table)) if number + row not in rows]
            number += len(table)
            if kept:
                new.write_table(table.take(kept))
    return _appear(beside, renewed)


def written_files(folder: Path) -> list[Path]:
    """List the files below a folder that carry names from here, unfinished ones too; those of other tools do not."""
    return [file for file in folder.rglob("*data_chunk_*") if _OUR_NAME.fullmatch(file.name)]


def read_provenance(file: Path) -> Provenance | None:
    """Read what a file was made with; None when another tool wrote it."""
    note = (pq.read_schema(file).metadata or {}).get(_PROVENANCE_KEY)
    return None if note is None else Provenance.model_validate_json(note)


def count_rows(file: Path) -> int:
    """Count the rows that a file's footer names; 0 when the file is missing or was not written to its end."""
    try:
        return int(pq.read_metadata(file).num_rows)
    except (FileNotFoundError, pa.ArrowInvalid):
        return 0


def latent_shape(file: Path) -> list[int]:
    """Read the CTHW of the latents in a file."""
    shapes = pq.read_table(file, columns=["vae_latent_shape"])["vae_latent_shape"]
    return [int(side) for side in shapes[0].as_py()]


def rows_of(file: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Read some columns of a file, of those that it has; not the tensors, for they are read all at once."""
    with pq.ParquetFile(file, memory_map=True) as opened:
        there = [name for name in columns if name in opened.schema_arrow.names]
        rows: list[dict[str, Any]] = opened.read(columns=there).to_pylist()
        return rows


def tensor_of(file: Path, row: int, name: str) -> np.ndarray:
    """Read one tensor of one row."""
    with pq.ParquetFile(file, memory_map=True) as opened:
        for group in range(opened.num_row_groups):
            rows = opened.metadata.row_group(group).num_rows
            if row < rows:
                columns = [f"{name}_bytes", f"{name}_shape"]
                content, shape = opened.read_row_group(group, columns=columns).slice(row, 1).to_pylist()[0].values()
                return np.frombuffer(content, "<f4").reshape(shape).copy()
            row -= rows
    raise IndexError(f"{file} has no such row")


def _writer(file: Path, schema: pa.Schema) -> pq.ParquetWriter:
    compression = {name: "none" if name in _STORED_PLAIN else "zstd" for name in schema.names}
    return pq.ParquetWriter(file, schema, compression=compression, use_dictionary=False)


def _beside(file: Path) -> Path:
    # Hidden, so that whoever reads the folder meanwhile passes over it.
    return file.with_name(f".{file.stem}.part")


def _appear(beside: Path, file: Path) -> Path:
    with beside.open("rb") as written:
        os.fsync(written.fileno())
    beside.replace(file)
    return file


def _as_row(sample: Sample, made_with: Provenance) -> dict[str, object]:
    assert sample.text_embedding.shape[0] > 0, "FastVideo reads an embedding without rows as something else"
    return {
        "id": sample.id,
        **_as_columns("vae_latent", sample.vae_latent),
        **_as_columns("text_embedding", sample.text_embedding),
        **_as_columns("clip_feature", sample.first_frame.clip_feature),
        **_as_columns("first_frame_latent", sample.first_frame.latent),
        **_as_columns("pil_image", None),  # FastVideo fills it with what its own trainer cannot read
        "file_name": sample.file_name,
        "caption": sample.caption,
        "media_type": "video",
        "width": sample.width,
        "height": sample.height,
        "num_frames": sample.vae_latent.shape[1],  # latent frames: that is what FastVideo counts here
        "duration_sec": sample.duration_seconds,
        "fps": sample.source_fps,
        "source_sha256": sample.origin.sha256,
        "source_frames": sample.origin.frames,
        "frame_indices": list(sample.origin.frame_indices),
        "train_fps": made_with.train_fps,
        "bucket": sample.origin.bucket,
        "model": made_with.model,
        "vae_fingerprint": made_with.vae_fingerprint,
        "engine_version": made_with.engine_version,
    }


def _as_columns(name: str, tensor: np.ndarray | None) -> dict[str, object]:
    if tensor is None:  # empty and never null, which FastVideo's reader fails on
        return {f"{name}_bytes": b"", f"{name}_shape": [], f"{name}_dtype": ""}
    # Readers take every tensor for little-endian float32, whatever the dtype column says.
    whole = np.ascontiguousarray(tensor, dtype="<f4")
    return {f"{name}_bytes": whole.tobytes(), f"{name}_shape": list(whole.shape), f"{name}_dtype": "float32"}
