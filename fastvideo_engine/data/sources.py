"""Read the lists of clips that people bring: FastVideo's merged folders, and manifests."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import Any

from fastvideo_engine.captions import name_and_caption
from fastvideo_engine.errors import DataError
from fastvideo_engine.specs import Manifest, MergedFolder


@dataclass(frozen=True)
class Clip:
    """One listed video; the id is its name, made unique in the list, and the problem what the list alone shows."""

    id: str
    name: str
    path: Path
    caption: str
    problem: str | None = None


def read_source(source: MergedFolder | Manifest) -> list[Clip]:
    """List the clips of a source in its order; raise `DataError` when the list itself is missing or unreadable."""
    path = Path(source.path)
    clips = list(_merged_clips(path) if isinstance(source, MergedFolder) else _manifest_clips(path))
    if not clips:
        raise DataError(f"{path} lists no clips; add some.")
    return _with_unique_ids(clips)


def _merged_clips(folder: Path) -> Iterator[Clip]:
    listing = folder / "videos2caption.json"
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}; check the path of the dataset.")
    entries = _json_in(listing, _text_of(listing))
    if not isinstance(entries, list):
        raise DataError(f'{listing} is not a list; write it as [{{"path": "clip.mp4", "cap": "…"}}, …].')
    for number, entry in enumerate(entries, start=1):
        yield _merged_clip(folder, entry if isinstance(entry, dict) else {}, number)


def _merged_clip(folder: Path, entry: dict[str, Any], number: int) -> Clip:
    listed, caption = name_and_caption(entry)
    if not listed:
        return _nameless(folder, number, caption)
    path = folder / "videos" / listed
    # By name and not by where links lead: Hugging Face's own folders are full of links out of them.
    inside = Path(os.path.normpath(path)).is_relative_to(os.path.normpath(folder))
    problem = None if inside else "Its path leads out of the dataset's folder."
    return Clip(id=listed, name=listed, path=path, caption=caption, problem=problem)


def _manifest_clips(manifest: Path) -> Iterator[Clip]:
    # Not splitlines(): a caption may hold characters that it, but not JSON, takes for the end of a line.
    for number, line in enumerate(_text_of(manifest).split("\n"), start=1):
        if line.strip():
            entry = _json_in(manifest, line, f"Line {number} of ")
            yield _manifest_clip(manifest, entry if isinstance(entry, dict) else {}, number)


def _manifest_clip(manifest: Path, entry: dict[str, Any], number: int) -> Clip:
    listed, caption = name_and_caption(entry)
    if not listed:
        return _nameless(manifest, number, caption)
    name = str(entry.get("name") or Path(listed).name)
    if not Path(name).suffix:
        name += Path(listed).suffix
    return Clip(id=name, name=name, path=manifest.parent / listed, caption=caption)


def _nameless(listing: Path, number: int, caption: str) -> Clip:
    name = f"entry {number}"
    return Clip(id=name, name=name, path=listing, caption=caption, problem="The list gives no path for it.")


def _with_unique_ids(clips: list[Clip]) -> list[Clip]:
    # Numbered in the list's order, so that a restart gives every clip the id it had.
    taken: set[str] = set()
    unique = []
    for clip in clips:
        names = chain([clip.id], (_numbered(clip.id, number) for number in count(2)))
        free = next(name for name in names if name not in taken)
        taken.add(free)
        unique.append(replace(clip, id=free))
    return unique


def _numbered(name: str, number: int) -> str:
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem} ({number}){path.suffix}")) if path.name else f"{name} ({number})"


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
