"""Take files into a dataset: clips are probed and get a poster, caption files give their captions away."""

import filecmp
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

from fastvideo_engine.captions import name_and_caption
from fastvideo_engine.errors import ClipError, DataError
from fastvideo_engine.media import probe, write_poster
from worker import settings
from worker.store import datasets
from worker.store.database import now
from worker.store.tables import Clip

POSTER_HEIGHT = 240
_NAMES_SHOWN = 5


@dataclass
class Intake:
    """What became of the files: sentences for the user."""

    added: int = 0
    captioned: int = 0
    notices: list[str] = field(default_factory=list)


def take_in(dataset_id: int, files: Sequence[tuple[Path, str]]) -> Intake:
    """Move files, each with the name its owner gave it, into a dataset.

    One that cannot be used never blocks the others: an unreadable clip is listed with its reason, an
    unreadable caption file gets a notice.
    """
    intake = Intake()
    captions = [file for file in files if Path(file[1]).suffix.lower() in (".json", ".txt")]
    for path, name in (file for file in files if file not in captions):
        _take_clip(dataset_id, path, name, intake)
    for path, name in captions:
        try:
            _take_captions(dataset_id, name, read_captions(path, name), intake)
        except DataError as error:
            intake.notices.append(str(error))
    datasets.set_notices(dataset_id, intake.notices)
    return intake


def add_clip_file(dataset_id: int, path: Path, name: str, caption: str = "") -> Clip | None:
    """Move one video into a dataset; None when the very same file is there already."""
    folder = settings.datasets() / str(dataset_id) / "clips"
    folder.mkdir(parents=True, exist_ok=True)
    target = _free_name(folder, path, safe_name(name))
    if target is None:
        path.unlink()
        return None
    shutil.move(path, target)
    return datasets.add_clip(_probed(dataset_id, target, caption.strip()))


def read_captions(path: Path, name: str) -> dict[str, str]:
    """Read `videos2caption.json` or a sidecar `.txt`; raise `DataError` with the cure when that is impossible."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{name} is not text in UTF-8; save it as UTF-8 and drop it again.") from None
    if Path(name).suffix.lower() == ".txt":
        return {Path(name).stem: " ".join(text.split())}
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{name} is not readable as JSON (line {error.lineno}: {error.msg}); correct it there."
        ) from None
    named = [name_and_caption(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    captions = {PurePosixPath(video).name: caption for video, caption in named if video}
    if not captions:
        raise DataError(f'{name} holds no captions; it must be a list like [{{"path": "a.mp4", "cap": "a red car"}}].')
    return captions


def safe_name(name: str) -> str:
    """Keep of a file's name what every file system and URL takes; folders are cut off."""
    kept = re.sub(r"[^\w.,()+@ -]", "_", Path(name.replace("\\", "/")).name).strip(" .")
    return kept[-120:] or "clip.mp4"


def _take_clip(dataset_id: int, path: Path, name: str, intake: Intake) -> None:
    clip = add_clip_file(dataset_id, path, name)
    if clip is None:
        intake.notices.append(f"{name} is in this dataset already.")
        return
    intake.added += 1
    if clip.problem:
        intake.notices.append(f"{name} cannot be used: {clip.problem}")


def _take_captions(dataset_id: int, name: str, captions: dict[str, str], intake: Intake) -> None:
    missing = datasets.set_captions(dataset_id, captions)
    intake.captioned += len(captions) - len(missing)
    if missing:
        shown = ", ".join(missing[:_NAMES_SHOWN]) + (" …" if len(missing) > _NAMES_SHOWN else "")
        which = "a video that is" if len(missing) == 1 else f"{len(missing)} videos that are"
        intake.notices.append(f"{name} names {which} not here ({shown}); drop them too and they get their captions.")


def _free_name(folder: Path, file: Path, name: str) -> Path | None:
    """Find a name that is free; None when a file of that name and content is there."""
    target, number = folder / name, 2
    while target.exists():
        if filecmp.cmp(file, target, shallow=False):
            return None
        target = folder / f"{Path(name).stem} ({number}){Path(name).suffix}"
        number += 1
    return target


def _probed(dataset_id: int, file: Path, caption: str) -> Clip:
    clip = Clip(
        dataset_id=dataset_id,
        name=file.name,
        path=file.relative_to(settings.home()).as_posix(),
        caption=caption,
        created_at=now(),
    )
    try:
        facts = probe(file)
        write_poster(file, clip.poster, POSTER_HEIGHT)
    except ClipError as error:
        clip.problem = str(error)
        return clip
    clip.duration_seconds, clip.probed = facts.duration_seconds, asdict(facts)
    return clip
