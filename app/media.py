"""Serve clips, posters and results by id, with byte ranges, so that no path ever comes from a browser."""

import threading
from pathlib import Path
from typing import Annotated

import fastapi
from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse

from fastvideo_engine.errors import ClipError
from fastvideo_engine.media import plays_in_browsers, write_proxy
from worker.store import artifacts, datasets
from worker.store.tables import Artifact, Clip

router = APIRouter(prefix="/media")

_Id = Annotated[int, fastapi.Path(ge=1, lt=2**63)]
_CACHED = {"Cache-Control": "private, max-age=31536000, immutable"}  # what an id names never changes
_proxies_in_making = threading.Lock()


def clip_url(clip: Clip) -> str:
    return f"/media/clip/{clip.id}"


def poster_url(clip: Clip) -> str:
    return f"/media/poster/{clip.id}"


def artifact_url(artifact: Artifact) -> str:
    return f"/media/artifact/{artifact.id}"


@router.get("/clip/{clip_id}")
def clip(clip_id: _Id) -> FileResponse:
    """Send a clip, or the copy that browsers can play, made when it is asked for first."""
    found = datasets.clip(clip_id)
    if found is None or found.facts is None:
        raise HTTPException(404, "There is no such clip.")
    return _file(found.file if plays_in_browsers(found.facts) else _proxy(found))


@router.get("/poster/{clip_id}")
def poster(clip_id: _Id) -> FileResponse:
    """Send the picture that stands for a clip."""
    found = datasets.clip(clip_id)
    if found is None:
        raise HTTPException(404, "There is no such clip.")
    return _file(found.poster)


@router.get("/artifact/{artifact_id}")
def artifact(artifact_id: _Id, name: str | None = None) -> FileResponse:
    """Send a result of a run; with a name it is saved under that name instead of shown."""
    found = artifacts.get(artifact_id)
    if found is None or found.file.is_dir():
        raise HTTPException(404, "There is no such file.")
    return _file(found.file, save_as=Path(name).name if name else None)


def _file(path: Path, save_as: str | None = None) -> FileResponse:
    if not path.is_file():
        raise HTTPException(404, "The file is gone.")
    return FileResponse(path, headers=_CACHED, filename=save_as)


def _proxy(clip: Clip) -> Path:
    with _proxies_in_making:
        if not clip.proxy.exists():
            try:
                write_proxy(clip.file, clip.proxy)
            except ClipError as error:
                raise HTTPException(404, str(error)) from None
    return clip.proxy
