"""Show what is inside Parquet of preprocessed clips, as a table and as the videos that a model will see."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from diffusers import AutoencoderKLWan

from fastvideo_engine.components import load_vae, model_folder, vae_fingerprint
from fastvideo_engine.data.loader import parquet_files
from fastvideo_engine.data.parquet import Provenance, read_provenance, rows_of, tensor_of
from fastvideo_engine.errors import DataError
from fastvideo_engine.media import write_mp4

_ROWS_SHOWN = 20
_CAPTION_SHOWN = 60
_FPS_OF_WAN = 16.0  # where the rows do not say: FastVideo's name the source's rate, not that of the latents
_TENSORS = ("vae_latent", "text_embedding", "clip_feature", "first_frame_latent")
_LIGHT = (
    "id",
    "caption",
    "width",
    "height",
    "fps",
    "train_fps",
    "source_sha256",
    "frame_indices",
    *(f"{tensor}_shape" for tensor in _TENSORS),
)
_NOT_IN_FILE_NAMES = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class _Row:
    """A row's place, and its columns that are no tensors."""

    file: Path
    number: int
    told: dict[str, Any]

    @property
    def size(self) -> str:
        return _by(self.told["vae_latent_shape"])

    @property
    def tokens(self) -> int:
        return int((self.told["text_embedding_shape"] or [0])[0])

    @property
    def caption(self) -> str:
        return str(self.told.get("caption") or "")


def run(parquet: Path, decode: int, output: Path, model: str | None) -> None:
    """Print what a Parquet file or folder holds, and decode so many of its rows into videos in `output`.

    Raises `DataError` when there is none, or nothing says which model can decode it.
    """
    files = _files_in(parquet)
    rows = [row for file in files for row in _rows_in(file)]
    if not rows:
        raise DataError(f"{parquet} holds no clips; give the folder that preprocessing wrote.")
    print("\n".join(_summary(parquet, files, rows)))
    print("\n".join(["", *_table(parquet, rows)]))
    if decode:
        for path in _decoded(_spread(rows, decode), output, model):
            print(f"Wrote {path}")


def _files_in(parquet: Path) -> list[Path]:
    if not parquet.exists():
        raise DataError(f"There is no {parquet}; give a Parquet file, or the folder that preprocessing wrote.")
    return sorted(parquet_files(parquet)) if parquet.is_dir() else [parquet]


def _rows_in(file: Path) -> Iterator[_Row]:
    try:
        for number, told in enumerate(rows_of(file, _LIGHT)):
            if "vae_latent_shape" not in told:
                raise DataError(f"{file} has no column vae_latent_shape; give Parquet of preprocessed clips.")
            yield _Row(file, number, told)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{file} is not readable as Parquet ({reason}); preprocess the clips again.") from None


def _summary(parquet: Path, files: Sequence[Path], rows: Sequence[_Row]) -> Iterator[str]:
    bytes_in_all = sum(file.stat().st_size for file in files)
    yield f"{parquet}: {_counted(len(rows), 'clip')} in {_counted(len(files), 'file')}, {_bytes(bytes_in_all)}"
    for tensor in _TENSORS:
        # The tokens of captions differ and are told below; their width does not.
        keep = slice(-1, None) if tensor == "text_embedding" else slice(None)
        shapes = Counter(_by((row.told.get(f"{tensor}_shape") or [])[keep]) for row in rows)
        if set(shapes) != {""}:
            yield _fact(tensor, ", ".join(f"{shape or 'none'} ({count})" for shape, count in shapes.most_common()))
    tokens = sorted(row.tokens for row in rows)
    captions = Counter(row.caption for row in rows)
    yield _fact("captions", f"{len(captions)} distinct, {captions['']} empty")
    yield _fact("tokens", f"{tokens[0]} to {tokens[-1]}, {sum(tokens) / len(tokens):.1f} on average")
    yield _fact("source rates", _values(f"{row.told['fps']:.4g} fps" for row in rows if row.told.get("fps")))
    yield _fact("made with", "; ".join(dict.fromkeys(_made_with(read_provenance(file)) for file in files)))


def _made_with(provenance: Provenance | None) -> str:
    if provenance is None:
        return "another tool, which does not say what"
    shape = f"{provenance.frames} frames of {provenance.width}x{provenance.height} at {provenance.train_fps:.4g} fps"
    vae, engine = provenance.vae_fingerprint[:12], provenance.engine_version
    return f"{provenance.model} (VAE {vae}), {provenance.workload}, {shape}, engine {engine}"


def _table(parquet: Path, rows: Sequence[_Row]) -> Iterator[str]:
    cells: list[tuple[str, ...]] = [("id", "latent", "tokens", "frames taken", "source", "file", "caption")]
    cells += [_cells(parquet, row) for row in rows[:_ROWS_SHOWN]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
    if len(rows) > _ROWS_SHOWN:
        yield f"… and {_counted(len(rows) - _ROWS_SHOWN, 'clip')} more"


def _cells(parquet: Path, row: _Row) -> tuple[str, ...]:
    taken = row.told.get("frame_indices")
    file = row.file.relative_to(parquet) if parquet.is_dir() else Path(row.file.name)
    caption = " ".join(row.caption.split())
    return (
        str(row.told["id"]),
        row.size,
        str(row.tokens),
        f"{len(taken)} from {taken[0]} to {taken[-1]}" if taken else "-",
        (row.told.get("source_sha256") or "-")[:12],
        f"{file} [{row.number}]",
        caption if len(caption) <= _CAPTION_SHOWN else caption[: _CAPTION_SHOWN - 1] + "…",
    )


def _spread(rows: Sequence[_Row], count: int) -> list[_Row]:
    """Choose rows from all over, so that they show more than one video's neighbours."""
    count = min(count, len(rows))
    return [rows[number * len(rows) // count] for number in range(count)]


@torch.inference_mode()
def _decoded(rows: Sequence[_Row], output: Path, model: str | None) -> Iterator[Path]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    vae: AutoencoderKLWan | None = None
    for place, row in enumerate(rows, start=1):
        if vae is None:
            vae = load_vae(_model_of(row, model), device)
        latent = tensor_of(row.file, row.number, "vae_latent")
        video = vae.decode(torch.from_numpy(latent)[None].to(device)).sample[0].clamp(-1, 1)
        frames = ((video + 1) * 127.5).round().byte().permute(1, 2, 3, 0).cpu().numpy()
        path = output / f"{place:03d}-{_NOT_IN_FILE_NAMES.sub('_', Path(row.told['id']).stem)}.mp4"
        write_mp4(path, frames, row.told.get("train_fps") or _FPS_OF_WAN, {"title": row.caption})
        yield path


def _model_of(row: _Row, model: str | None) -> Path:
    provenance = read_provenance(row.file)
    model = model or (provenance.model if provenance else None)
    if model is None:
        raise DataError(f"{row.file} does not say which model encoded it; name it with --model.")
    folder = model_folder(model, ("vae",))
    if provenance is not None and vae_fingerprint(folder) != provenance.vae_fingerprint:
        raise DataError(f"{row.file} was encoded by another VAE than that of {folder}; name its model with --model.")
    return folder


def _fact(name: str, text: str) -> str:
    return f"  {name.replace('_', ' '):<20} {text}"


def _values(each: Iterator[str]) -> str:
    return ", ".join(f"{value} ({count})" for value, count in Counter(each).most_common(5)) or "-"


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape or ()))


def _bytes(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
