"""Which clips changed since they were encoded, told by their content and caption."""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fastvideo_engine.data.ledger import LedgerRow, rows_by_video
from fastvideo_engine.data.sources import Clip
from fastvideo_engine.errors import ClipError

_MISSING = "missing"


@dataclass(frozen=True)
class Changes:
    """What of a ledger no longer holds: clips whose rows must go, and rows that hold under another stamp."""

    outdated: frozenset[str]
    """Videos of the list whose file or caption is another one now."""
    unlisted: frozenset[str]
    """Videos that the list no longer names."""
    restamped: Sequence[LedgerRow]
    """Rows of files that were only touched or copied."""


def changes_since(rows: Iterable[LedgerRow], clips: Sequence[Clip]) -> Changes:
    """Compare a ledger with the list; files are read only where their size or time changed."""
    listed = {clip.id: clip for clip in clips}
    outdated, unlisted, restamped = set(), set(), []
    for video, its_rows in rows_by_video(rows).items():
        if video not in listed:
            unlisted.add(video)
            continue
        clip, stamp = listed[video], stamp_of(listed[video])
        if any(not _holds(row, clip, stamp) for row in its_rows):
            outdated.add(video)
        elif stamp != _MISSING:
            restamped += [row.model_copy(update={"stamp": stamp}) for row in its_rows if row.stamp != stamp]
    return Changes(frozenset(outdated), frozenset(unlisted), restamped)


def attempts_at(rows: Iterable[LedgerRow]) -> dict[str, int]:
    """Count how often each video was tried, by its id."""
    tried: dict[str, int] = {}
    for row in rows:
        tried[row.listed_as] = max(row.attempts, tried.get(row.listed_as, 0))
    return tried


def stamp_of(clip: Clip) -> str:
    """Describe a clip's file without reading it; of a dataset's row, which has none, only that it is one."""
    if clip.row is not None:
        return "row"
    try:
        about = clip.path.stat()
    except (OSError, ValueError):  # a name that no file can have
        return _MISSING
    return f"{about.st_size}-{about.st_mtime_ns}"


def content_of(file: Path) -> str:
    """Hash a file; raise `ClipError` when it cannot be read."""
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except FileNotFoundError:
        raise ClipError("The file is missing.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ClipError(f"The file cannot be read ({reason}).") from None


def input_of(content: str, clip: Clip) -> str:
    """Hash what a clip's sample is made from."""
    return hashlib.sha256("\0".join((content, clip.caption, clip.text)).encode()).hexdigest()


def _holds(row: LedgerRow, clip: Clip, stamp: str) -> bool:
    if not row.input:  # written before ledgers told
        return True
    content = row.content
    # A file that cannot be read any more was encoded when it could; a clip that was left out is looked at again.
    if row.stamp != stamp:
        if row.state == "rejected":
            return False
        with suppress(ClipError):
            content = content_of(clip.path)
    return row.input == input_of(content, clip)
