"""Bring the video of a dataset's row to this machine's disk, and nothing from outside the dataset."""

import posixpath
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec  # type: ignore[import-untyped]

from fastvideo_engine.data.huggingface import UNREACHABLE, unreachable
from fastvideo_engine.errors import ClipError


def fetch(video: Any, root: str, target: Path) -> None:
    """Write a row's video, bytes or a path from the dataset's root on, into a file; raise `ClipError` without one."""
    content, path = bytes_and_path(video)
    if content:
        target.write_bytes(content)
    elif path:
        _copy(path, root, target)
    else:
        raise ClipError("The row has no video.")


def bytes_and_path(video: Any) -> tuple[bytes | None, str]:
    """Read what a row says of its video: the file itself, or where it is."""
    if isinstance(video, dict):
        return video.get("bytes"), video.get("path") or ""
    return (video, "") if isinstance(video, bytes) else (None, str(video or ""))


def _copy(path: str, root: str, target: Path) -> None:
    """Copy a file of the dataset, named from its root on; listings often leave out that it is in `videos/`."""
    places = [path] if "://" in path else [posixpath.join(root, path), posixpath.join(root, "videos", path)]
    for place in places:
        _refuse_what_lies_elsewhere(place, root)
        try:
            with fsspec.open(place, "rb") as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)
            return
        except (FileNotFoundError, IsADirectoryError):
            continue
        except UNREACHABLE as error:  # no fault of the clip: once the connection is back, it can be had
            raise unreachable(place, error) from None
    raise ClipError(f"Its file {path} is missing from the dataset.")


def _refuse_what_lies_elsewhere(place: str, root: str) -> None:
    # A dataset from the hub must not make this machine read its own files or other servers' addresses.
    where = place.rpartition("::")[2] if place.startswith("zip://") else place
    if where.startswith("hf://") and root.startswith("hf://"):
        return
    if not PurePosixPath(posixpath.normpath(where)).is_relative_to(posixpath.normpath(root)):
        raise ClipError("Its path leads out of the dataset.")
