"""Datasets, their clips and their captions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from sqlalchemy import func
from sqlmodel import Session, col, delete, select, update

from worker.store.database import now, reading, writing
from worker.store.tables import Clip, Dataset, Job


@dataclass(frozen=True)
class DatasetCard:
    """A dataset with the numbers that a list of datasets shows."""

    dataset: Dataset
    clips: int
    usable: int
    captioned: int
    seconds: float
    cover: int | None
    """The id of a clip whose poster stands for the dataset."""


def create(name: str) -> Dataset:
    with writing() as session:
        dataset = Dataset(name=name.strip() or "Untitled dataset", created_at=now())
        session.add(dataset)
        session.flush()
        return dataset


def rename(dataset_id: int, name: str) -> None:
    with writing() as session:
        session.exec(update(Dataset).where(col(Dataset.id) == dataset_id).values(name=name.strip()))


def set_notices(dataset_id: int, notices: list[str]) -> None:
    """Keep what there is to say about the files that came last, so that it outlives the page they came by."""
    with writing() as session:
        session.exec(update(Dataset).where(col(Dataset.id) == dataset_id).values(notices=notices))


def forget_empty(dataset_id: int) -> bool:
    """Forget a dataset without clips; False when it has some."""
    with writing() as session:
        if session.exec(select(Clip.id).where(Clip.dataset_id == dataset_id)).first() is not None:
            return False
        session.exec(update(Job).where(col(Job.dataset_id) == dataset_id).values(dataset_id=None))
        session.exec(delete(Dataset).where(col(Dataset.id) == dataset_id))
        return True


def get(dataset_id: int) -> Dataset | None:
    with reading() as session:
        return session.get(Dataset, dataset_id)


def cards() -> list[DatasetCard]:
    """List all datasets, the newest first, each with its numbers."""
    usable = col(Clip.problem).is_(None)
    query = (
        select(  # type: ignore[call-overload]
            Dataset,
            func.count(col(Clip.id)),
            func.count(col(Clip.id)).filter(usable),
            func.count(col(Clip.id)).filter(usable, col(Clip.caption) != ""),
            func.coalesce(func.sum(Clip.duration_seconds), 0.0),
            func.min(col(Clip.id)).filter(usable),
        )
        .outerjoin(Clip, col(Clip.dataset_id) == col(Dataset.id))
        .group_by(col(Dataset.id))
        .order_by(col(Dataset.id).desc())
    )
    with reading() as session:
        return [DatasetCard(*row) for row in session.exec(query)]


def card(dataset_id: int) -> DatasetCard | None:
    return next((card for card in cards() if card.dataset.id == dataset_id), None)


def clips(dataset_id: int) -> list[Clip]:
    """List a dataset's clips in the order they came."""
    with reading() as session:
        return list(session.exec(select(Clip).where(Clip.dataset_id == dataset_id).order_by(col(Clip.id))))


def clip(clip_id: int) -> Clip | None:
    with reading() as session:
        return session.get(Clip, clip_id)


def add_clip(clip: Clip) -> Clip:
    """Add a clip, with the caption that an earlier caption file gave to its name, when it has none."""
    with writing() as session:
        dataset = session.get_one(Dataset, clip.dataset_id)
        waiting = dict(dataset.waiting_captions)
        for key in caption_keys(clip.name):
            if key in waiting:
                clip.caption = clip.caption or waiting.pop(key)
        dataset.waiting_captions = waiting
        session.add(clip)
        session.flush()
        return clip


def set_caption(clip_id: int, caption: str) -> str | None:
    """Keep a caption and return the one that it replaces; None when the clip is gone."""
    with writing() as session:
        clip = session.get(Clip, clip_id)
        if clip is None:
            return None
        replaced, clip.caption = clip.caption, caption.strip()
        return replaced


def set_captions(dataset_id: int, captions: Mapping[str, str]) -> list[str]:
    """Give captions by file name or by name without ending; return the names that no clip here has.

    Those captions wait, and are given when such a file comes.
    """
    with writing() as session:
        by_key = _clips_by_key(session, dataset_id)
        missing = {}
        for name, caption in captions.items():
            if _plain(name) in by_key:
                by_key[_plain(name)].caption = caption
            else:
                missing[name] = caption
        dataset = session.get_one(Dataset, dataset_id)
        waiting = {_plain(name): caption for name, caption in missing.items()}
        dataset.waiting_captions = {**dataset.waiting_captions, **waiting}
        return list(missing)


def caption_keys(clip_name: str) -> tuple[str, str]:
    """Say by which names a caption file may mean a clip: its own, and its own without the ending.

    Letters and figures alone count, since browsers and servers replace others on a file's way up.
    """
    return _plain(clip_name), _plain(PurePath(clip_name).stem)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def remove_clip(clip_id: int) -> None:
    """Forget a clip and its files."""
    with writing() as session:
        clip = session.get(Clip, clip_id)
        if clip is None:
            return
        session.delete(clip)
    for file in (clip.file, clip.poster, clip.proxy):
        file.unlink(missing_ok=True)


def _clips_by_key(session: Session, dataset_id: int) -> dict[str, Clip]:
    found: dict[str, Clip] = {}
    for clip in session.exec(select(Clip).where(Clip.dataset_id == dataset_id)):
        for key in reversed(caption_keys(clip.name)):
            found.setdefault(key, clip)
    return found
