"""Open a Hugging Face dataset, on the hub or in a folder, as rows of a video and a caption."""

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import fsspec  # type: ignore[import-untyped]
import httpx
import pyarrow as pa
from datasets.exceptions import DatasetNotFoundError, DatasetsError
from datasets.packaged_modules.folder_based_builder.folder_based_builder import FolderBasedBuilder
from datasets.packaged_modules.parquet.parquet import Parquet

from fastvideo_engine.captions import CAPTION_FIELDS
from fastvideo_engine.errors import DataError
from fastvideo_engine.specs.base import is_folder
from fastvideo_engine.specs.preprocess import AUTOMATIC, HuggingFaceSource

# Videos are taken as the files they are; with this on, `datasets` needs FFmpeg's libraries even for that.
datasets.config.TORCHCODEC_AVAILABLE = False

_LISTINGS = {".json": "json", ".jsonl": "json", ".csv": "csv"}
UNREACHABLE = (ConnectionError, TimeoutError, httpx.HTTPError)
_UNREADABLE = (OSError, ValueError, RuntimeError, DatasetsError, pa.ArrowException)
# What publishers call them, the likeliest first; "txt" and "json", "mp4" and "webm" are WebDataset's.
_VIDEO_NAMES = (
    "video",
    "videos",
    "mp4",
    "webm",
    "video_path",
    "video_file",
    "path",
    "file_name",
    "file",
    "clip",
    "image",
)
_CAPTION_NAMES = ("caption", *CAPTION_FIELDS, "captions", "prompts", "description", "txt", "json")
_CLIP_NAMES = ("name", "video_id", "id", "__key__")
# The default is a whole row group, which of long videos may be gigabytes.
_ROWS_IN_MEMORY = 4


class NoSuchSplitError(DataError):
    """The dataset has other splits."""


@dataclass(frozen=True)
class Columns:
    """Which columns hold the video, its caption, and its name where there is one."""

    video: str
    caption: str
    name: str | None


@dataclass(frozen=True)
class Rows:
    """The rows of one split; `root` is the folder or address that paths in them start from."""

    name: str
    root: str
    total: int | None
    columns: Columns
    _dataset: datasets.Dataset | datasets.IterableDataset

    def after(self, done: int) -> Iterator[dict[str, Any]]:
        """Read the rows that follow the first `done`; raise `DataError` when reading breaks off."""
        yield from self._read(self._dataset.skip(done) if done else self._dataset)

    def at(self, numbers: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Read the rows of these numbers, which rise and begin with 0; those in between are passed over."""
        if isinstance(self._dataset, datasets.Dataset):
            yield from zip(numbers, self._read(self._dataset.select(numbers)), strict=True)
            return
        wanted = set(numbers)
        first = numbers[0] if numbers else 0
        for number, row in enumerate(self.after(first), start=first):
            if number in wanted:
                yield number, row
            if number >= numbers[-1]:
                return

    def _read(self, dataset: datasets.Dataset | datasets.IterableDataset) -> Iterator[dict[str, Any]]:
        rows = iter(dataset)
        while True:
            try:
                row = next(rows, None)
            except UNREACHABLE as error:
                raise unreachable(self.name, error) from None
            except _UNREADABLE as error:
                raise DataError(f"{self.name} cannot be read further ({_first_line(error)}).") from None
            if row is None:
                return
            yield row


def open_rows(source: HuggingFaceSource, split: str | None = None, with_videos: bool = True) -> Rows:
    """Open the split and the columns that a source names; raise `DataError` saying what there is instead.

    Without the videos their column is left out where that saves reading them; bare paths are always there.
    """
    is_local = is_folder(source.path)
    if is_local and not Path(source.path).is_dir():
        raise DataError(f"There is no folder {source.path}; check the path of the dataset.")
    pinned = f"@{source.revision}" if source.revision else ""
    root = source.path if is_local else f"hf://datasets/{source.path}{pinned}"
    try:
        rows = _opened(source, split or source.split, root, with_videos)
    except DatasetNotFoundError:
        cure = "check the spelling, or log in with `hf auth login` if it is private or gated"
        raise DataError(f"There is no dataset {source.path} on Hugging Face; {cure}.") from None
    except UNREACHABLE as error:
        raise unreachable(source.path, error) from None
    except _UNREADABLE as error:
        raise DataError(f"{source.path} cannot be opened ({_first_line(error)}).") from None
    return rows


def _opened(source: HuggingFaceSource, split: str, root: str, with_videos: bool) -> Rows:
    if any((Path(root) / name).exists() for name in ("state.json", "dataset_dict.json")):
        saved = datasets.load_from_disk(root)
        splits = saved if isinstance(saved, dict) else {str(saved.split or split): saved}
        _refuse_unknown_split(source.path, split, list(splits))
        return _rows(source, root, splits[split], len(splits[split]), with_videos)
    which = {"path": source.path, "name": source.config, "revision": source.revision}
    builder = datasets.load_dataset_builder(**which)
    _refuse_unknown_split(source.path, split, list(builder.info.splits or builder.config.data_files or [split]))
    known = (builder.info.splits or {}).get(split)
    total = known.num_examples if known else None
    dataset = _from_a_listing(builder, root, source)
    if dataset is not None:
        return _rows(source, root, dataset, None, with_videos)
    if not source.streaming:
        whole = datasets.load_dataset(**which, split=split)
        return _rows(source, root, whole, len(whole), with_videos)
    if not isinstance(builder, Parquet):
        return _rows(source, root, datasets.load_dataset(**which, split=split, streaming=True), total, with_videos)
    streamed = datasets.load_dataset(**which, split=split, streaming=True, batch_size=_ROWS_IN_MEMORY)
    columns = _columns_of(source, streamed)
    if not with_videos and not _is_bare_path(streamed, columns.video):
        texts = [name for name in (columns.caption, columns.name) if name]
        streamed = datasets.load_dataset(**which, split=split, streaming=True, columns=texts)
        return Rows(source.path, root, total, columns, _limited(source, streamed))
    return _rows(source, root, streamed, total, with_videos)


def _from_a_listing(builder: Any, root: str, source: HuggingFaceSource) -> datasets.IterableDataset | None:
    """Open the JSON or CSV file that lists a folder's videos, where `datasets` sees the videos and not the file."""
    if not isinstance(builder, FolderBasedBuilder):
        return None
    folder = datasets.load_dataset(source.path, name=source.config, revision=source.revision, streaming=True)
    if _caption_column(source, _names(next(iter(folder.values())))):
        return None
    files, place = fsspec.url_to_fs(root)
    found = sorted(name for name in files.ls(place, detail=False) if posixpath.splitext(name)[1] in _LISTINGS)
    if not found:
        return None
    listing = files.unstrip_protocol(found[0])
    kind = _LISTINGS[posixpath.splitext(listing)[1]]
    return datasets.load_dataset(kind, data_files=listing, split="train", streaming=True)


def _rows(source: HuggingFaceSource, root: str, dataset: Any, total: int | None, with_videos: bool) -> Rows:
    columns = _columns_of(source, dataset)
    is_video = isinstance((dataset.features or {}).get(columns.video), datasets.Video | datasets.Image)
    # What is nested in other columns, such as a decoded picture, is never read.
    names = [columns.caption, *([columns.name] if columns.name else [])]
    if with_videos or not is_video:
        names.append(columns.video)
    dataset = dataset.select_columns(list(dict.fromkeys(names)))
    if is_video and with_videos:
        kind = type(dataset.features[columns.video])
        dataset = dataset.cast_column(columns.video, kind(decode=False))
    if source.limit is not None and total is not None:
        total = min(source.limit, total)
    return Rows(source.path, root, total, columns, _limited(source, dataset))


def _limited(source: HuggingFaceSource, dataset: Any) -> Any:
    if source.limit is None:
        return dataset
    if isinstance(dataset, datasets.Dataset):
        return dataset.select(range(min(source.limit, len(dataset))))
    return dataset.take(source.limit)


def _columns_of(source: HuggingFaceSource, dataset: Any) -> Columns:
    names, features = _names(dataset), dataset.features or {}
    typed = [name for name in names if isinstance(features.get(name), datasets.Video | datasets.Image)]
    video = source.video_column
    if video == AUTOMATIC:
        video = next(iter([*typed, *(name for name in _VIDEO_NAMES if name in names)]), "")
    caption = _caption_column(source, names)
    for asked, found, field in ((source.video_column, video, "video"), (source.caption_column, caption, "caption")):
        if found not in names:
            what = f"column `{asked}`" if asked != AUTOMATIC else f"column that looks like a {field}"
            raise DataError(
                f"{source.path} has no {what}; its columns are {', '.join(names)}. Set source.{field}_column to one."
            )
    name = next((name for name in _CLIP_NAMES if name in names and name not in (video, caption)), None)
    return Columns(video, str(caption), name)


def _caption_column(source: HuggingFaceSource, names: Sequence[str]) -> str | None:
    if source.caption_column != AUTOMATIC:
        return source.caption_column if source.caption_column in names else None
    like_one = (name for name in names if "caption" in name.lower() or "prompt" in name.lower())
    return next(iter([*(name for name in _CAPTION_NAMES if name in names), *like_one]), None)


def _is_bare_path(dataset: Any, column: str) -> bool:
    feature = (dataset.features or {}).get(column)
    return isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string")


def _refuse_unknown_split(dataset: str, split: str, splits: list[str]) -> None:
    if split not in splits:
        raise NoSuchSplitError(f"{dataset} has no split `{split}`; its splits are {', '.join(map(str, splits))}.")


def _names(dataset: Any) -> list[str]:
    # Only the rows themselves tell the columns of JSON and CSV that are read as they come.
    return list(dataset.column_names or next(islice(iter(dataset), 1), {}))


def unreachable(dataset: str, error: Exception) -> DataError:
    """Say that a dataset, or a file of one, did not come, and what to do."""
    cure = "check the connection, or give the folder of a copy on this machine"
    return DataError(f"{dataset} could not be fetched from Hugging Face ({_first_line(error)}); {cure}.")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
