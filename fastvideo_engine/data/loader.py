"""Read the Parquet that preprocessing (ours or FastVideo's) wrote, a clip at a time, in a new order each epoch."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from fastvideo_engine.data.parquet import Provenance, read_provenance
from fastvideo_engine.errors import DataError
from fastvideo_engine.run_folder import RunFolder
from fastvideo_engine.seeds import generator_of

_TENSORS = ("vae_latent", "text_embedding")
_SHAPES = [f"{tensor}_shape" for tensor in _TENSORS]
_READ = [*(f"{tensor}_bytes" for tensor in _TENSORS), *_SHAPES, "caption"]
_CURE = "preprocess the clips again"
# What ours and FastVideo's preprocessing call the clips that training must not see; given as the root, they are read.
_HELD_OUT = (RunFolder(Path()).validation_parquet.name, "validation_dataset")

_Shapes = list[tuple[tuple[int, ...], tuple[int, ...]]]
"""Of each row the latent's and the text embedding's."""


@dataclass(frozen=True)
class _Place:
    """Where a clip lies: its file, the row group in it and the row in that."""

    file: int
    group: int
    row: int


@dataclass(frozen=True)
class ParquetClips:
    """Encoded clips of one size, read from disk when asked for."""

    files: tuple[Path, ...]
    latent_shape: tuple[int, ...]
    """CTHW"""
    text_width: int
    provenance: Provenance | None
    """What our preprocessing says of the model and settings; FastVideo says nothing."""
    _footers: tuple[pq.FileMetaData, ...]
    _places: tuple[_Place, ...]

    def __len__(self) -> int:
        return len(self._places)

    def read(self, number: int) -> tuple[Tensor, Tensor, str]:
        """Return a clip's raw latent CTHW and text embedding LD, both float32, and its caption."""
        place = self._places[number]
        path = self.files[place.file]
        try:
            # The footer is known and the file mapped: only this row group's pages are touched.
            with pq.ParquetFile(path, metadata=self._footers[place.file], memory_map=True) as file:
                row = file.read_row_group(place.group, columns=_READ).slice(place.row, 1).to_pylist()[0]
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path} cannot be read ({_first_line(error)}); {_CURE}.") from None
        latent, text = (_tensor(row, tensor, path) for tensor in _TENSORS)
        return latent, text, row.get("caption") or ""


def open_parquet(folder: Path) -> ParquetClips:
    """Find the Parquet files under a folder and check that their clips go together; raise `DataError` if not."""
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}; give the folder that preprocessing wrote.")
    files = sorted(parquet_files(folder))
    if not files:
        raise DataError(f"{folder} holds no .parquet files; give the folder that preprocessing wrote.")
    footers, places = [], []
    shapes: dict[Path, _Shapes] = {}
    for number, path in enumerate(files):
        footer, shapes[path] = _surveyed(path)
        footers.append(footer)
        rows_of = [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]
        places += [_Place(number, group, row) for group, rows in enumerate(rows_of) for row in range(rows)]
    if not places:
        raise DataError(f"The Parquet in {folder} holds no clips; {_CURE}.")
    latent_shape, text_width = _common_shape(shapes, folder)
    provenance = _common_provenance(files, folder)
    return ParquetClips(tuple(files), latent_shape, text_width, provenance, tuple(footers), tuple(places))


def clip_at(position: int, count: int, seed: int) -> int:
    """Tell which of `count` clips sample number `position` is: every epoch has each once, in an order of its own."""
    epoch, place = divmod(position, count)
    return _order(epoch, count, seed)[place]


@lru_cache(maxsize=2)  # a batch may reach into the next epoch
def _order(epoch: int, count: int, seed: int) -> list[int]:
    return torch.randperm(count, generator=generator_of("order", seed, epoch)).tolist()


def parquet_files(folder: Path) -> Iterator[Path]:
    """List the Parquet files below a folder, but for those held out of training."""
    for where, inside, names in os.walk(folder):
        inside[:] = [name for name in inside if not name.startswith(".") and name not in _HELD_OUT]
        yield from (Path(where, name) for name in names if name.endswith(".parquet") and not name.startswith("."))


def _surveyed(path: Path) -> tuple[pq.FileMetaData, _Shapes]:
    """Read a file's footer and the shapes in it, which are tiny columns; the tensors stay unread."""
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            missing = [column for column in _READ[:-1] if column not in file.schema_arrow.names]
            if missing:
                raise DataError(f"{path} has no column {missing[0]}; give Parquet of preprocessed clips.")
            shapes = file.read(columns=_SHAPES)
            latent, text = (shapes.column(name).to_pylist() for name in _SHAPES)
            return file.metadata, [(tuple(a or ()), tuple(b or ())) for a, b in zip(latent, text, strict=True)]
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is not readable as Parquet ({_first_line(error)}); {_CURE}.") from None


def _common_shape(shapes_in: dict[Path, _Shapes], folder: Path) -> tuple[tuple[int, ...], int]:
    shapes = [shape for in_file in shapes_in.values() for shape in in_file]
    latents = sorted({latent for latent, _ in shapes})
    widths = sorted({text[-1] if len(text) == 2 else 0 for _, text in shapes})
    if len(latents) > 1:
        raise DataError(f"The clips in {folder} differ in size{_where_they_do_not(shapes_in, folder, latents)}")
    if len(latents[0]) != 4:
        raise DataError(f"The clips in {folder} have no video latents; {_CURE}.")
    if len(widths) > 1 or not widths[0]:
        raise DataError(f"Some clips in {folder} have no text embedding, or one of another width; {_CURE}.")
    return latents[0], widths[0]


def _where_they_do_not(shapes_in: dict[Path, _Shapes], folder: Path, latents: list[tuple[int, ...]]) -> str:
    """Name the buckets, largest first, where the sizes are apart in folders; else two of the sizes."""
    inside: dict[str, _Shapes] = {}
    for path, shapes in shapes_in.items():
        inside.setdefault(path.relative_to(folder).parts[0], []).extend(shapes)
    if all(len({latent for latent, _ in shapes}) <= 1 for shapes in inside.values()):
        counts = sorted(((len(shapes), name) for name, shapes in inside.items()), reverse=True)
        buckets = ", ".join(f"{name} ({count} clip{'s' if count > 1 else ''})" for count, name in counts)
        return f", each size in a folder of its own; choose one of {buckets}."
    named = " and ".join("x".join(map(str, shape)) for shape in latents[:2])
    return f" (latents of {named}); preprocess them to one size."


def _common_provenance(files: list[Path], folder: Path) -> Provenance | None:
    told = [read_provenance(path) for path in files]
    if len({each and each.vae_fingerprint for each in told}) > 1:
        raise DataError(f"The Parquet files in {folder} were made with different models; {_CURE} with one.")
    return told[0]


def _tensor(row: dict[str, Any], tensor: str, path: Path) -> Tensor:
    # float32 whatever the dtype column says: FastVideo's own reader takes it so.
    shape, content = row[f"{tensor}_shape"], row[f"{tensor}_bytes"]
    if len(content) != 4 * math.prod(shape):
        raise DataError(f"A {tensor} in {path} has {len(content)} bytes, not float32 of shape {shape}; {_CURE}.")
    return torch.frombuffer(bytearray(content), dtype=torch.float32).reshape(shape)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
