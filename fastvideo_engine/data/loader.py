"""Read the Parquet that preprocessing (ours or FastVideo's) wrote, a clip at a time."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from fastvideo_engine.specs.parquet import ParquetFolder

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
    """Encoded clips, read from disk when asked for; all of one model, and each size by itself."""

    by_shape: Mapping[_Shape, Sequence[int]]
    """The numbers of the clips of each latent shape CTHW, most clips first, each as often as it comes in an epoch."""
    text_width: int
    provenance: Provenance | None
    """What our preprocessing says of the model and settings, of most clips; FastVideo says nothing."""
    clip_feature_shape: _Shape | None
    """LD; None unless asked for."""
    _files: tuple[Path, ...]
    _tensors: tuple[str, ...]
    _footers: tuple[pq.FileMetaData, ...]
    _places: tuple[_Place, ...]
    _latent_frames: int | None

    @property
    def latent_shape(self) -> _Shape:
        """The CTHW that most clips have."""
        return next(iter(self.by_shape))

    def __len__(self) -> int:
        return len(self._places)

    def read(self, number: int) -> EncodedClip:
        """Read a clip from disk, with the tensors that were asked for when the Parquet was opened."""
        place = self._places[number]
        path = self._files[place.file]
        columns = [*_columns(self._tensors, "bytes"), *_columns(self._tensors, "shape"), "caption"]
        try:
            # The footer is known and the file mapped: only this row group's pages are touched.
            with pq.ParquetFile(path, metadata=self._footers[place.file], memory_map=True) as file:
                row = file.read_row_group(place.group, columns=columns).slice(place.row, 1).to_pylist()[0]
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path} cannot be read ({_first_line(error)}); {_CURE}.") from None
        tensors = {tensor: _tensor(row, tensor, path) for tensor in self._tensors}
        # The VAE looks back only: the first latent frames are those of a clip that ends there.
        for tensor in {_LATENT, _FIRST_FRAME_LATENT} & tensors.keys():
            tensors[tensor] = tensors[tensor][:, : self._latent_frames].contiguous()
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
    """Find the Parquet files under a folder; as `open_mixture` for a single one."""
    return open_mixture([ParquetFolder(path=str(folder))], more_tensors)


def open_mixture(
    folders: Sequence[ParquetFolder], more_tensors: Sequence[str] = (), latent_frames: int | None = None
) -> ParquetClips:
    """Find the Parquet files under some folders and check that they are of one model; raise `DataError` if not.

    `more_tensors` are read beside the latents and the text, and every clip must have them. Of the latents, the first
    `latent_frames` are read.
    """
    tensors = (*_OF_EVERY_CLIP, *more_tensors)
    files = [(path, folder.weight) for folder in folders for path in _files_in(Path(folder.path))]
    surveyed = [_surveyed(path, tensors) for path, _ in files]
    where = ", ".join(folder.path for folder in folders)
    shapes = [shape for _, in_file in surveyed for shape in in_file]
    if not shapes:
        raise DataError(f"The Parquet in {where} holds no clips; {_CURE}.")
    by_shape: dict[_Shape, list[int]] = {}
    places: list[_Place] = []
    for number, ((_, weight), (footer, in_file)) in enumerate(zip(files, surveyed, strict=True)):
        for place, shape in zip(_places_in(number, footer), in_file, strict=True):
            by_shape.setdefault(_cut(shape[_LATENT], latent_frames), []).extend([len(places)] * weight)
            places.append(place)
    ordered = dict(sorted(by_shape.items(), key=lambda each: (-len(each[1]), each[0])))
    most = places[next(iter(ordered.values()))[0]].file
    return ParquetClips(
        by_shape=ordered,
        text_width=_common_text_width(shapes, where),
        provenance=_common_provenance([path for path, _ in files[most:] + files[:most]], where),
        clip_feature_shape=_first_frame_shapes(shapes, more_tensors, where).get(_CLIP_FEATURE),
        _files=tuple(path for path, _ in files),
        _tensors=tensors,
        _footers=tuple(footer for footer, _ in surveyed),
        _places=tuple(places),
        _latent_frames=latent_frames,
    )


def held_out_beside(folder: Path) -> Path | None:
    """Find the Parquet of clips that were held out of those in a folder: a dataset, its root, or one of its buckets."""
    for root, bucket in ((folder, ""), (folder.parent, ""), (folder.parent.parent, folder.name)):
        for name in _HELD_OUT:
            found = root / name / bucket
            if found.is_dir() and found != folder and any(parquet_files(found)):
                return found
    return None


def parquet_files(folder: Path) -> Iterator[Path]:
    """List the Parquet files below a folder, but for those held out of training."""
    for where, inside, names in os.walk(folder):
        inside[:] = [name for name in inside if not name.startswith(".") and name not in _HELD_OUT]
        yield from (Path(where, name) for name in names if name.endswith(".parquet") and not name.startswith("."))


def _files_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}; give the folder that preprocessing wrote.")
    files = sorted(parquet_files(folder))
    if not files:
        raise DataError(f"{folder} holds no .parquet files; give the folder that preprocessing wrote.")
    return files


def _places_in(file: int, footer: pq.FileMetaData) -> Iterator[_Place]:
    for group in range(footer.num_row_groups):
        yield from (_Place(file, group, row) for row in range(footer.row_group(group).num_rows))


def _cut(latent: _Shape, frames: int | None) -> _Shape:
    channels, there, *sides = latent if len(latent) == 4 else (0, 0)
    return (channels, there if frames is None else min(there, frames), *sides)


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


def _lacks_images(where: Path | str) -> DataError:
    return DataError(
        f"The Parquet in {where} has not what this model reads of each clip's first frame; "
        "preprocess the clips again with this model and the workload i2v."
    )


def _common_text_width(shapes: _Shapes, where: str) -> int:
    """Return how wide the text embeddings are; raise `DataError` for clips that are not of one model."""
    latents = {shape[_LATENT] for shape in shapes}
    if any(len(latent) != 4 for latent in latents):
        raise DataError(f"Some clips in {where} have no video latents; {_CURE}.")
    channels = sorted({latent[0] for latent in latents})
    if len(channels) > 1:
        raise DataError(
            f"The clips in {where} have latents of {' and '.join(map(str, channels))} channels, of different models; "
            f"train on those of one, or {_CURE}."
        )
    widths = sorted({shape[_TEXT][-1] if len(shape[_TEXT]) == 2 else 0 for shape in shapes})
    if len(widths) > 1 or not widths[0]:
        raise DataError(f"Some clips in {where} have no text embedding, or one of another width; {_CURE}.")
    return widths[0]


def _first_frame_shapes(shapes: _Shapes, tensors: Sequence[str], where: str) -> dict[str, _Shape]:
    """Return the shape that each tensor of the first frame has; raise `DataError` where it is missing or varies."""
    found: dict[str, _Shape] = {}
    for tensor in tensors:
        if any(shape[tensor] == () for shape in shapes):
            raise _lacks_images(where)
        found[tensor] = shapes[0][tensor]
        if any(
            shape[tensor] != (shape[_LATENT] if tensor == _FIRST_FRAME_LATENT else found[tensor]) for shape in shapes
        ):
            raise DataError(f"Some clips in {where} have a {tensor} of another shape than the rest; {_CURE}.")
    return found


def _common_provenance(files: Sequence[Path], where: str) -> Provenance | None:
    """Return what the first file that says so was made with; raise `DataError` where others say another model."""
    told = [made_with for made_with in map(read_provenance, files) if made_with is not None]
    if len({made_with.vae_fingerprint for made_with in told}) > 1:
        raise DataError(f"The Parquet files in {where} were made with different models; {_CURE} with one.")
    return told[0] if told else None


def _tensor(row: dict[str, Any], tensor: str, path: Path) -> Tensor:
    # float32 whatever the dtype column says: FastVideo's own reader takes it so.
    shape, content = row[f"{tensor}_shape"], row[f"{tensor}_bytes"]
    if len(content) != 4 * math.prod(shape):
        raise DataError(f"A {tensor} in {path} has {len(content)} bytes, not float32 of shape {shape}; {_CURE}.")
    return torch.frombuffer(bytearray(content), dtype=torch.float32).reshape(shape)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
