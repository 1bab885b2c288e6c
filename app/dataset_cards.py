"""Datasets in words and cards."""

from html import escape

from app import navigation, words
from worker.store import datasets


def facts(card: datasets.DatasetCard) -> str:
    """Say how much there is in a dataset, and what its captions lack."""
    if not card.clips:
        return "empty"
    said = [words.count(card.clips, "clip"), words.lasting(card.seconds)]
    if card.clips > card.usable:
        said.append(f"{card.clips - card.usable} unusable")
    uncaptioned = card.usable - card.captioned
    said.append(f"{uncaptioned} without a caption" if uncaptioned else "all captioned")
    return " · ".join(said)


def draw(card: datasets.DatasetCard) -> str:
    """Write a dataset as a card that leads to its page."""
    picture = f'<img src="/media/poster/{card.cover}" alt="" loading="lazy">' if card.cover else ""
    address = navigation.dataset(card.dataset.id)
    return (
        f'<a class="fvs-card fvs-dataset" href="{address}"><div class="fvs-cover">{picture}</div>'
        f"<b>{escape(card.dataset.name)}</b><span>{facts(card)}</span></a>"
    )
