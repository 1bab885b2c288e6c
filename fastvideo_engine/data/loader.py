"""Read the Parquet that preprocessing (ours or FastVideo's) wrote, a clip at a time, in a new order each epoch."""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from fastvideo_engine.data.parquet import Provenance, read_provenance
from fastvideo_engine.errors import DataError
from fastvideo_engine.families import Family
from fastvideo_engine.run_folder import RunFolder
from fastvideo_engine.seeds import generator_of

_LATENT, _TEXT = _OF_EVERY_CLIP = ("vae_latent", "text_embedding")
_CLIP_FEATURE, _FIRST_FRAME_LATENT = "clip_feature", "first_frame_latent"
_CURE = "preprocess the clips again"
# What ours and FastVideo's preprocessing call the clips that training must not see; given as the root, they are read.
_HELD_OUT = (RunFolder(Path()).validation_parquet.name, "validation_dataset")

_Shape = tuple[int, ...]
_Shapes = list[dict[str, _Shape]]
"""Of each row the shapes of its tensors, by name."""


class EncodedClip(NamedTuple):
    """A clip as it was stored: all tensors float32, the latent CTHW raw, the text embedding LD.

    Of the first frame, what CLIP sees in it LD and its normalised latent CTHW, where they were asked for.
    """

    latent: Tensor
    text: Tensor
    caption: str
    clip_feature: Tensor | None = None
    first_frame_latent: Tensor | None = None


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
    clip_feature_shape: tuple[int, ...] | None
    """LD; None unless asked for."""
    _tensors: tuple[str, ...]
    _footers: tuple[pq.FileMetaData, ...]
    _places: tuple[_Place, ...]

    def __len__(self) -> int:
        return len(self._places)

    def read(self, number: int) -> EncodedClip:
        """Read a clip from disk, with the tensors that were asked for when the Parquet was opened."""
        place = self._places[number]
        path = self.files[place.file]
        columns = [*_columns(self._tensors, "bytes"), *_columns(self._tensors, "shape"), "caption"]
        try:
            # The footer is known and the file mapped: only this row group's pages are touched.
            with pq.ParquetFile(path, metadata=self._footers[place.file], memory_map=True) as file:
                row = file.read_row_group(place.group, columns=columns).slice(place.row, 1).to_pylist()[0]
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path} cannot be read ({_first_line(error)}); {_CURE}.") from None
        tensors = {tensor: _tensor(row, tensor, path) for tensor in self._tensors}
        return EncodedClip(
            latent=tensors[_LATENT],
            text=tensors[_TEXT],
            caption=row.get("caption") or "",
            clip_feature=tensors.get(_CLIP_FEATURE),
            first_frame_latent=tensors.get(_FIRST_FRAME_LATENT),
        )


def first_frame_tensors(family: Family) -> tuple[str, ...]:
    """Name what a family's transformer reads of the first frame beside the clip's own latent."""
    reads = {_CLIP_FEATURE: family.has_image_encoder, _FIRST_FRAME_LATENT: family.reads_first_frame_latent}
    return tuple(tensor for tensor, is_read in reads.items() if is_read)


def open_parquet(folder: Path, more_tensors: Sequence[str] = ()) -> ParquetClips:
    """Find the Parquet files under a folder and check that their clips go together; raise `DataError` if not.

    `more_tensors` are read beside the latents and the text, and every clip must have them.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}; give the folder that preprocessing wrote.")
    files = sorted(parquet_files(folder))
    if not files:
        raise DataError(f"{folder} holds no .parquet files; give the folder that preprocessing wrote.")
    tensors = (*_OF_EVERY_CLIP, *more_tensors)
    footers, places = [], []
    shapes: dict[Path, _Shapes] = {}
    for number, path in enumerate(files):
        footer, shapes[path] = _surveyed(path, tensors)
        footers.append(footer)
        rows_of = [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]
        places += [_Place(number, group, row) for group, rows in enumerate(rows_of) for row in range(rows)]
    if not places:
        raise DataError(f"The Parquet in {folder} holds no clips; {_CURE}.")
    latent_shape, text_width = _common_shape(shapes, folder)
    return ParquetClips(
        files=tuple(files),
        latent_shape=latent_shape,
        text_width=text_width,
        provenance=_common_provenance(files, folder),
        clip_feature_shape=_first_frame_shapes(shapes, more_tensors, latent_shape, folder).get(_CLIP_FEATURE),
        _tensors=tensors,
        _footers=tuple(footers),
        _places=tuple(places),
    )


def held_out_beside(folder: Path) -> Path | None:
    """Find the Parquet of clips that were held out of those in a folder: a dataset, its root, or one of its buckets."""
    for root, bucket in ((folder, ""), (folder.parent, ""), (folder.parent.parent, folder.name)):
        for name in _HELD_OUT:
            found = root / name / bucket
            if found.is_dir() and found != folder and any(parquet_files(found)):
                return found
    return None


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


def _surveyed(path: Path, tensors: Sequence[str]) -> tuple[pq.FileMetaData, _Shapes]:
    """Read a file's footer and the shapes in it, which are tiny columns; the tensors stay unread."""
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            names = [*_columns(tensors, "bytes"), *_columns(tensors, "shape")]
            missing = [column for column in names if column not in file.schema_arrow.names]
            if any(column.startswith(_OF_EVERY_CLIP) for column in missing):
                raise DataError(f"{path} has no column {missing[0]}; give Parquet of preprocessed clips.")
            if missing:
                raise _lacks_images(path)
            shapes = file.read(columns=_columns(tensors, "shape"))
            by_tensor = [shapes.column(name).to_pylist() for name in _columns(tensors, "shape")]
            rows = zip(*by_tensor, strict=True)
            return file.metadata, [
                {tensor: tuple(shape or ()) for tensor, shape in zip(tensors, row, strict=True)} for row in rows
            ]
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is not readable as Parquet ({_first_line(error)}); {_CURE}.") from None


def _columns(tensors: Sequence[str], end: str) -> list[str]:
    return [f"{tensor}_{end}" for tensor in tensors]


def _lacks_images(where: Path) -> DataError:
    return DataError(
        f"The Parquet in {where} has not what this model reads of each clip's first frame; "
        "preprocess the clips again with this model and the workload i2v."
    )


def _common_shape(shapes_in: dict[Path, _Shapes], folder: Path) -> tuple[_Shape, int]:
    shapes = [shape for in_file in shapes_in.values() for shape in in_file]
    latents = sorted({shape[_LATENT] for shape in shapes})
    widths = sorted({shape[_TEXT][-1] if len(shape[_TEXT]) == 2 else 0 for shape in shapes})
    if len(latents) > 1:
        raise DataError(f"The clips in {folder} differ in size{_where_they_do_not(shapes_in, folder, latents)}")
    if len(latents[0]) != 4:
        raise DataError(f"The clips in {folder} have no video latents; {_CURE}.")
    if len(widths) > 1 or not widths[0]:
        raise DataError(f"Some clips in {folder} have no text embedding, or one of another width; {_CURE}.")
    return latents[0], widths[0]


def _first_frame_shapes(
    shapes_in: dict[Path, _Shapes], tensors: Sequence[str], latent_shape: _Shape, folder: Path
) -> dict[str, _Shape]:
    """Return the one shape that each tensor of the first frame has; raise `DataError` where it is missing or varies."""
    found: dict[str, _Shape] = {}
    for tensor in tensors:
        shapes = {shape[tensor] for in_file in shapes_in.values() for shape in in_file}
        if () in shapes:
            raise _lacks_images(folder)
        found[tensor] = min(shapes)
        wanted = latent_shape if tensor == _FIRST_FRAME_LATENT else found[tensor]
        if shapes != {wanted}:
            raise DataError(f"Some clips in {folder} have a {tensor} of another shape than the rest; {_CURE}.")
    return found


def _where_they_do_not(shapes_in: dict[Path, _Shapes], folder: Path, latents: list[_Shape]) -> str:
    """Name the buckets, largest first, where the sizes are apart in folders; else two of the sizes."""
    inside: dict[str, _Shapes] = {}
    for path, shapes in shapes_in.items():
        inside.setdefault(path.relative_to(folder).parts[0], []).extend(shapes)
    if all(len({shape[_LATENT] for shape in shapes}) <= 1 for shapes in inside.values()):
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
