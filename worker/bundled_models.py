"""The models that come with the studio, put where specs of runs name them: beside the runs, so that a home may move."""

import fcntl
import filecmp
import logging
import os
import shutil
from pathlib import Path

from fastvideo_engine import assets
from worker import settings

_log = logging.getLogger(__name__)


def unpack() -> None:
    """Copy each bundled model into the home where it is missing, or is not the one that comes with this studio."""
    try:
        settings.models().mkdir(parents=True, exist_ok=True)
        with (settings.models() / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # web and worker start together
            for index in sorted(assets.MODELS.glob("*/model_index.json")):
                bundled = index.parent
                if not _is_copy(settings.models() / bundled.name, bundled):
                    _copy_whole(bundled, settings.models() / bundled.name)
    except OSError as error:  # pages of a full disk must still open; who needs the model is told that it is missing
        _log.warning("The bundled models cannot be copied to %s (%s); make room there.", settings.models(), error)


def _is_copy(folder: Path, original: Path) -> bool:
    files = [path.relative_to(original) for path in original.rglob("*") if path.is_file()]
    # Contents are compared only where size or date differ, which keeps a start of the studio fast.
    _, different, missing = filecmp.cmpfiles(original, folder, [str(file) for file in files])
    return not different and not missing


def _copy_whole(original: Path, folder: Path) -> None:
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    outdated = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        shutil.copytree(original, beside)
        if folder.exists():
            folder.rename(outdated)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(outdated, ignore_errors=True)
