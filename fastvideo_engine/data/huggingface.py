"""Open a Hugging Face dataset, on the hub or in a folder, as rows of a video and a caption."""

import posixpath
from collections.abc import Iterator
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

from fastvideo_engine.errors import DataError
from fastvideo_engine.specs.base import is_folder
from fastvideo_engine.specs.imports import ImportSpec

# Videos are taken as the files they are; with this on, `datasets` needs FFmpeg's libraries even for that.
datasets.config.TORCHCODEC_AVAILABLE = False

_LISTINGS = {".json": "json", ".jsonl": "json", ".csv": "csv"}
_UNREACHABLE = (ConnectionError, httpx.HTTPError)
_UNREADABLE = (OSError, ValueError, RuntimeError, DatasetsError, pa.ArrowException)


@dataclass(frozen=True)
class Rows:
    """The rows of one split; `root` is the folder or address that paths in them start from."""

    name: str
    root: str
    total: int | None
    _dataset: datasets.IterableDataset

    def after(self, done: int) -> Iterator[dict[str, Any]]:
        """Read the rows that follow the first `done`; raise `DataError` when reading breaks off."""
        rows = iter(self._dataset.skip(done) if done else self._dataset)
        while True:
            try:
                row = next(rows, None)
            except _UNREACHABLE as error:
                raise _unreachable(self.name, error) from None
            except _UNREADABLE as error:
                raise DataError(f"{self.name} cannot be read further ({_first_line(error)}).") from None
            if row is None:
                return
            yield row


def open_rows(spec: ImportSpec) -> Rows:
    """Open the split and the two columns that a spec names; raise `DataError` saying what there is instead."""
    is_local = is_folder(spec.dataset)
    if is_local and not Path(spec.dataset).is_dir():
        raise DataError(f"There is no folder {spec.dataset}; check the path of the dataset.")
    root = spec.dataset if is_local else f"hf://datasets/{spec.dataset}"
    try:
        dataset, total = _opened(spec, root, is_local)
        dataset = _with_two_columns(dataset, spec)
    except DatasetNotFoundError:
        cure = "check the spelling, or log in with `hf auth login` if it is private or gated"
        raise DataError(f"There is no dataset {spec.dataset} on Hugging Face; {cure}.") from None
    except _UNREACHABLE as error:
        raise _unreachable(spec.dataset, error) from None
    except _UNREADABLE as error:
        raise DataError(f"{spec.dataset} cannot be opened ({_first_line(error)}).") from None
    if spec.limit is not None:
        dataset, total = dataset.take(spec.limit), spec.limit if total is None else min(spec.limit, total)
    return Rows(spec.dataset, root, total, dataset)


def _opened(spec: ImportSpec, root: str, is_local: bool) -> tuple[datasets.IterableDataset, int | None]:
    if is_local and any((Path(root) / name).exists() for name in ("state.json", "dataset_dict.json")):
        saved = datasets.load_from_disk(root)
        splits = saved if isinstance(saved, dict) else {str(saved.split or spec.split): saved}
        _refuse_unknown_split(spec, list(splits))
        return splits[spec.split].to_iterable_dataset(), len(splits[spec.split])
    builder = datasets.load_dataset_builder(spec.dataset)
    _refuse_unknown_split(spec, list(builder.info.splits or builder.config.data_files or [spec.split]))
    known = (builder.info.splits or {}).get(spec.split)
    dataset = datasets.load_dataset(spec.dataset, split=spec.split, streaming=True)
    if isinstance(builder, FolderBasedBuilder) and spec.caption_column not in _columns(dataset):
        # A folder of videos beside a JSON or CSV file that lists them: `datasets` sees the videos and not the file.
        listing = _listing_in(root)
        if listing:
            kind = _LISTINGS[posixpath.splitext(listing)[1]]
            return datasets.load_dataset(kind, data_files=listing, split="train", streaming=True), None
    return dataset, known.num_examples if known else None


def _with_two_columns(dataset: datasets.IterableDataset, spec: ImportSpec) -> datasets.IterableDataset:
    columns = _columns(dataset)
    for column in (spec.video_column, spec.caption_column):
        if column not in columns:
            raise DataError(f"{spec.dataset} has no column `{column}`; its columns are {', '.join(columns)}.")
    features = dataset.features or {}
    dataset = dataset.select_columns([spec.video_column, spec.caption_column])
    if isinstance(features.get(spec.video_column), datasets.Video):
        dataset = dataset.cast_column(spec.video_column, datasets.Video(decode=False))
    return dataset


def _refuse_unknown_split(spec: ImportSpec, splits: list[str]) -> None:
    if spec.split not in splits:
        raise DataError(f"{spec.dataset} has no split `{spec.split}`; its splits are {', '.join(map(str, splits))}.")


def _columns(dataset: datasets.IterableDataset) -> list[str]:
    # Only the rows themselves tell the columns of JSON and CSV that are read as they come.
    return list(dataset.column_names or next(islice(iter(dataset), 1), {}))


def _listing_in(root: str) -> str | None:
    files, folder = fsspec.url_to_fs(root)
    found = sorted(name for name in files.ls(folder, detail=False) if posixpath.splitext(name)[1] in _LISTINGS)
    return files.unstrip_protocol(found[0]) if found else None


def _unreachable(dataset: str, error: Exception) -> DataError:
    cure = "check the connection, or give the folder of a copy on this machine"
    return DataError(f"{dataset} could not be fetched from Hugging Face ({_first_line(error)}); {cure}.")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
