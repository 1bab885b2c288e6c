"""Read the lists of clips that people bring: merged folders, JSON, JSONL, CSV, plain folders, Hugging Face datasets."""

import csv
import io
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastvideo_engine.captions import name_and_captions, texts_in
from fastvideo_engine.data.fetching import bytes_and_path
from fastvideo_engine.data.huggingface import NoSuchSplitError, open_rows
from fastvideo_engine.errors import DataError
from fastvideo_engine.specs.preprocess import AUTOMATIC, HuggingFaceSource

_VIDEOS = "mp4 m4v mov mkv webm avi mpg mpeg ts flv wmv ogv mxf 3gp gif apng webp"
_PICTURES = "png jpg jpeg bmp tif tiff"
_MEDIA = frozenset(f".{ending}" for ending in f"{_VIDEOS} {_PICTURES}".split())
_PAIRED = ("videos.txt", "prompt.txt")


@dataclass(frozen=True)
class Row:
    """Where a video is in a Hugging Face dataset."""

    split: str
    number: int


@dataclass(frozen=True)
class Listed:
    """One entry of a list: a video, the captions that the list has for it, and what is wrong with the entry itself."""

    name: str
    path: Path
    captions: tuple[str, ...]
    problem: str | None = None
    row: Row | None = None
    is_held_out: bool = False


def in_merged_folder(folder: Path) -> Iterator[Listed]:
    """Read `videos2caption.json`; whatever else it says of a video is looked up in the video itself."""
    listing = folder / "videos2caption.json"
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}; check the path of the dataset.")
    for number, entry in enumerate(_entries_in(listing), start=1):
        listed, captions = name_and_captions(entry)
        yield _inside(folder, folder / "videos", listed, captions) if listed else _nameless(listing, number, captions)


def in_hugging_face(source: HuggingFaceSource, held_out_split: str | None) -> Iterator[Listed]:
    """Read the names and captions of a dataset, and of the split that is held out; the videos themselves come later."""
    yield from _in_split(source, source.split, is_held_out=False)
    if held_out_split != AUTOMATIC:
        yield from _in_split(source, held_out_split, is_held_out=True) if held_out_split else ()
        return
    with suppress(NoSuchSplitError):
        yield from _in_split(source, "validation", is_held_out=True)


def _in_split(source: HuggingFaceSource, split: str, is_held_out: bool) -> Iterator[Listed]:
    rows = open_rows(source, split, with_videos=False)
    columns = rows.columns
    for number, row in enumerate(rows.after(0)):
        name = next(iter(texts_in(row.get(columns.name)) if columns.name else ()), "")
        name = name or bytes_and_path(row.get(columns.video))[1] or f"{split}-{number:07d}"
        caption = row.get(columns.caption)
        captions = name_and_captions(caption)[1] if isinstance(caption, dict) else texts_in(caption)
        yield Listed(name, Path(name), captions, None, Row(split, number), is_held_out)


def in_list_or_folder(path: Path) -> Iterator[Listed]:
    """Read a JSONL, JSON or CSV file, or a folder; raise `DataError` when it is none of these or is unreadable."""
    if not path.is_dir():
        yield from _in_file(path)
    elif all((path / name).is_file() for name in _PAIRED):
        yield from _in_paired_texts(path)
    else:
        yield from _in_plain_folder(path)


def _in_file(listing: Path) -> Iterator[Listed]:
    read = {".csv": _rows_of_csv, ".json": _entries_in}.get(listing.suffix.lower(), _rows_of_jsonl)
    for number, entry in enumerate(read(listing), start=1):
        listed, captions = name_and_captions(entry)
        if not listed:
            yield _nameless(listing, number, captions)
            continue
        name = str(entry.get("name") or Path(listed).name)
        if not Path(name).suffix:
            name += Path(listed).suffix
        yield Listed(name, listing.parent / listed, captions)


def _in_paired_texts(folder: Path) -> Iterator[Listed]:
    # Line by line, blank ones too: dropping those first would give every later video its neighbour's caption.
    videos, prompts = (_text_of(folder / name).rstrip("\n").split("\n") for name in _PAIRED)
    if len(videos) != len(prompts):
        raise DataError(
            f"{folder / _PAIRED[0]} has {len(videos)} lines and {_PAIRED[1]} has {len(prompts)}; "
            "line for line, each video needs its caption."
        )
    for video, prompt in zip(videos, prompts, strict=True):
        if video.strip():
            captions = (prompt.strip(),) if prompt.strip() else ()
            in_videos = (folder / "videos" / video.strip()).exists()
            yield _inside(folder, folder / "videos" if in_videos else folder, video.strip(), captions)


def _in_plain_folder(folder: Path) -> Iterator[Listed]:
    files = (file for file in folder.rglob("*") if file.suffix.lower() in _MEDIA and not file.name.startswith("."))
    for file in sorted(files):
        sidecar = file.with_suffix(".txt")
        captions = (" ".join(_text_of(sidecar).split()),) if sidecar.is_file() else ()
        yield Listed(file.relative_to(folder).as_posix(), file, tuple(filter(None, captions)))


def _inside(dataset: Path, folder: Path, listed: str, captions: tuple[str, ...]) -> Listed:
    path = folder / listed
    # By name and not by where links lead: Hugging Face's own folders are full of links out of them.
    is_inside = Path(os.path.normpath(path)).is_relative_to(os.path.normpath(dataset))
    return Listed(listed, path, captions, None if is_inside else "Its path leads out of the dataset's folder.")


def _nameless(listing: Path, number: int, captions: tuple[str, ...]) -> Listed:
    return Listed(f"entry {number}", listing, captions, "The list gives no path for it.")


def _entries_in(listing: Path) -> list[dict[str, Any]]:
    entries = _json_in(listing, _text_of(listing))
    if not isinstance(entries, list):
        raise DataError(f'{listing} is not a list; write it as [{{"path": "clip.mp4", "cap": "…"}}, …].')
    return [_as_entry(entry) for entry in entries]


def _rows_of_jsonl(listing: Path) -> Iterator[dict[str, Any]]:
    # Not splitlines(): a caption may hold characters that it, but not JSON, takes for the end of a line.
    for number, line in enumerate(_text_of(listing).split("\n"), start=1):
        if line.strip():
            yield _as_entry(_json_in(listing, line, f"Line {number} of "))


def _rows_of_csv(listing: Path) -> Iterator[dict[str, Any]]:
    try:
        for row in csv.DictReader(io.StringIO(_text_of(listing), newline=""), skipinitialspace=True):
            yield {(name or "").strip().lower(): value for name, value in row.items()}
    except csv.Error as error:
        raise DataError(f"{listing} is not readable as CSV ({error}); correct it there.") from None


def _as_entry(entry: Any) -> dict[str, Any]:
    return entry if isinstance(entry, dict) else {}


def _text_of(listing: Path) -> str:
    try:
        return listing.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(
            f"There is no {listing.name} in {listing.parent}; it lists the clips and their captions."
        ) from None
    except UnicodeDecodeError:
        raise DataError(f"{listing} is not text in UTF-8; save it as such.") from None
    except OSError as error:
        raise DataError(f"{listing} cannot be read ({error.strerror}).") from None


def _json_in(listing: Path, text: str, where: str = "") -> Any:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"{error.msg}, line {error.lineno}" if not where else error.msg
        raise DataError(f"{where}{listing} is not readable as JSON ({place}); correct it there.") from None
    # JSON can spell half a character ("\\ud83d" alone), which no file can hold; it becomes a question mark.
    return json.loads(json.dumps(content, ensure_ascii=False).encode(errors="replace"))
