"""Clips as the clip grid wants them."""

from collections.abc import Sequence
from typing import Any

from app import media
from worker.store.tables import Artifact, Clip


def of_clips(clips: Sequence[Clip]) -> dict[str, Any]:
    """Show clips whose captions can be edited."""
    return {"clips": [_of_clip(clip) for clip in clips], "read_only": False, "empty": "No clips yet: drop some above."}


def of_preview(artifacts: Sequence[Artifact]) -> dict[str, Any]:
    """Show the first rows of a dataset that is not imported yet."""
    rows = [
        {
            "id": artifact.id,
            "name": artifact.facts["name"],
            "poster": None,
            "video": media.artifact_url(artifact),
            "facts": "",
            "caption": artifact.facts["caption"],
            "problem": None,
        }
        for artifact in artifacts
    ]
    return {"clips": rows, "read_only": True, "empty": "The first rows appear here."}


def _of_clip(clip: Clip) -> dict[str, Any]:
    return {
        "id": clip.id,
        "name": clip.name,
        "poster": None if clip.problem else media.poster_url(clip),
        "video": None if clip.problem else media.clip_url(clip),
        "facts": _facts(clip),
        "caption": clip.caption,
        "problem": clip.problem,
    }


def _facts(clip: Clip) -> str:
    facts = clip.facts
    if facts is None:
        return ""
    size = f"{facts.width}×{facts.height}"
    return f"{size} · {facts.fps:.4g} fps · {facts.duration_seconds:.1f} s · {facts.codec}"
