"""Parquet in FastVideo's text-to-video schema: whole files of few rows, and what they were made from."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fastvideo_engine.specs.base import Part

_UNFINISHED = ".part"
_OUR_NAME = re.compile(r"data_chunk_[0-9a-f]{32}\.(parquet|part)")
_PROVENANCE_KEY = b"fastvideo_studio"


def _tensor_columns(name: str) -> list[tuple[str, pa.DataType]]:
    return [(f"{name}_bytes", pa.binary()), (f"{name}_shape", pa.list_(pa.int64())), (f"{name}_dtype", pa.string())]


# FastVideo's `pyarrow_schema_t2v`, column for column: other tools read it by these names.
T2V_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        *_tensor_columns("vae_latent"),
        *_tensor_columns("text_embedding"),
        ("file_name", pa.string()),
        ("caption", pa.string()),
        ("media_type", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("num_frames", pa.int64()),
        ("duration_sec", pa.float64()),
        ("fps", pa.float64()),
    ]
)
# Noise-like floats do not shrink: zstd takes time on the latents and gives back a few per cent.
_COMPRESSION = {name: "none" if name == "vae_latent_bytes" else "zstd" for name in T2V_SCHEMA.names}


class Provenance(Part):
    """What a Parquet file was made with, so that a trainer can tell whether it fits the model."""

    model: str
    vae_fingerprint: str
    train_fps: float
    height: int
    width: int
    frames: int
    engine_version: str


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


def write_samples(folder: Path, samples: Sequence[Sample], provenance: Provenance) -> Path:
    """Write samples as one new file in a folder and return it; it is whole and on the disk under its name."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"data_chunk_{uuid4().hex}.parquet"
    beside = file.with_suffix(_UNFINISHED)
    schema = T2V_SCHEMA.with_metadata({_PROVENANCE_KEY: provenance.model_dump_json().encode()})
    table = pa.Table.from_pylist([_as_row(sample) for sample in samples], schema=schema)
    try:
        # A row group of its own for every row: readers that want one row then read one row.
        pq.write_table(table, beside, row_group_size=1, compression=_COMPRESSION, use_dictionary=False)
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
    return file


def written_files(folder: Path) -> list[Path]:
    """List the files below a folder that carry names from here, unfinished ones too; those of other tools do not."""
    return [file for file in folder.rglob("data_chunk_*") if _OUR_NAME.fullmatch(file.name)]


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


def _as_row(sample: Sample) -> dict[str, object]:
    assert sample.text_embedding.shape[0] > 0, "FastVideo reads an embedding without rows as something else"
    return {
        "id": sample.id,
        **_as_columns("vae_latent", sample.vae_latent),
        **_as_columns("text_embedding", sample.text_embedding),
        "file_name": sample.file_name,
        "caption": sample.caption,
        "media_type": "video",
        "width": sample.width,
        "height": sample.height,
        "num_frames": sample.vae_latent.shape[1],  # latent frames: that is what FastVideo counts here
        "duration_sec": sample.duration_seconds,
        "fps": sample.source_fps,
    }


def _as_columns(name: str, tensor: np.ndarray) -> dict[str, object]:
    # Readers take every tensor for little-endian float32, whatever the dtype column says.
    whole = np.ascontiguousarray(tensor, dtype="<f4")
    return {f"{name}_bytes": whole.tobytes(), f"{name}_shape": list(whole.shape), f"{name}_dtype": "float32"}
